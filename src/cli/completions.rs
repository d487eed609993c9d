//! `rig completions`: completion scripts, made from the definition of the command line.

use clap_complete::Shell;

use super::{Context, Outcome, help};
use crate::error::Exit;

/// Print the completion script of a shell
///
/// bash: put it where bash-completion looks, ~/.local/share/bash-completion/completions/rig.
/// zsh: save it as _rig in a directory of your fpath. fish: ~/.config/fish/completions/rig.fish.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        "rig completions bash > ~/.local/share/bash-completion/completions/rig",
        "rig completions fish > ~/.config/fish/completions/rig.fish",
    ]),
    after_long_help = help::exits(&[Exit::Ok, Exit::Usage])
)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let shell = match args.shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        _ => Shell::Fish,
    };
    context.out.bytes(&script(shell))?;
    Ok(Exit::Ok)
}

/// The script for this shell.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "rig", &mut script);
    script
}
