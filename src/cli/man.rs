//! `rig man`: manual pages, made from the definition of the command line.

use std::io::{self, Write};
use std::path::PathBuf;

use clap_mangen::Man;

use super::{Context, Failure, Outcome, help};
use crate::error::Exit;

/// Print a manual page, or write all of them
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&["rig man apply | man -l -", "rig man --out ~/.local/share/man/man1"]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Failure, Exit::Usage])
)]
pub(crate) struct Args {
    /// The command, as `log dump`; without one the page of rig itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if let Some(out) = args.out {
        std::fs::create_dir_all(&out).map_err(|error| Failure::io("create", &out, &error))?;
        for (name, page) in pages() {
            let file = out.join(name);
            std::fs::write(&file, page).map_err(|error| Failure::io("write", &file, &error))?;
        }
        return Ok(Exit::Ok);
    }
    let words: Vec<_> = args.command.iter().map(String::as_str).collect();
    let command = help::find(&words)?;
    context.out.bytes(&page(&words, &command))?;
    Ok(Exit::Ok)
}

/// Every page with its file name: `rig.1`, `rig-log-dump.1`.
fn pages() -> Vec<(String, Vec<u8>)> {
    fn walk(words: &[&str], command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) {
        let name = [&["rig"], words].concat().join("-");
        pages.push((format!("{name}.1"), page(words, command)));
        for inner in command.get_subcommands() {
            walk(&[words, &[inner.get_name()]].concat(), inner, pages);
        }
    }
    let mut root = super::command();
    root.build();
    let mut pages = Vec::new();
    walk(&[], &root, &mut pages);
    pages
}

fn page(words: &[&str], command: &clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    render(words, command, &mut page).expect("a vector takes all bytes");
    page
}

fn render(words: &[&str], command: &clap::Command, out: &mut dyn Write) -> io::Result<()> {
    let name = [&["rig"], words].concat().join("-");
    let examples = command.get_before_help().map(ToString::to_string);
    let exits = command.get_after_long_help().map(ToString::to_string);
    // The sections below have their own place; what is left is clap's part.
    let bare = command.clone().before_help(None).after_long_help(None).after_help(None).display_name(name.clone());
    let man = Man::new(bare.disable_help_flag(true)).title(name.to_uppercase()).manual("Rig").date("");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        section(out, "COMMANDS", &listing(&name, command))?;
    }
    if let Some(examples) = examples {
        section(out, "EXAMPLES", &preformatted(&examples))?;
    }
    match exits {
        Some(exits) => section(out, "EXIT STATUS", &preformatted(&exits))?,
        None => section(out, "EXIT STATUS", "See\n.BR rig\\-help (1)\nor `rig help exit\\-codes`.\n")?,
    }
    let above = match words {
        [] => ".BR rig\\-log (5)\n".to_owned(),
        [_] => ".BR rig (1),\n`rig help environment`\n".to_owned(),
        [group, ..] => format!(".BR rig (1),\n.BR rig\\-{group} (1)\n"),
    };
    section(out, "SEE ALSO", &above)
}

fn section(out: &mut dyn Write, title: &str, body: &str) -> io::Result<()> {
    writeln!(out, ".SH \"{title}\"\n{}", body.trim_end())
}

fn listing(name: &str, command: &clap::Command) -> String {
    let mut text = String::new();
    for inner in command.get_subcommands() {
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        let page = format!("{name}-{}", inner.get_name());
        text.push_str(&format!(".TP\n.BR {} (1)\n{}\n", escape(&page), escape(&about)));
    }
    text
}

/// The lines below the heading as they stand.
fn preformatted(text: &str) -> String {
    let lines: Vec<_> = text.lines().skip(1).map(|line| escape(line.strip_prefix("  ").unwrap_or(line))).collect();
    format!(".nf\n{}\n.fi\n", lines.join("\n"))
}

/// Text that roff shows as it is.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
