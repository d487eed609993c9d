//! Standard output: lines, objects, tables, colour.
//!
//! Everything that is data goes through [`Output`]. What is said beside it goes to stderr by [`Output::note`].

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid};
use serde::Serialize;

use super::Failure;

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    #[default]
    Auto,
    /// Even into a pipe.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// As it is typed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// What a piece of text means, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As asked.
    Good,
    /// Works, but not as asked.
    Warn,
    /// Does not work.
    Bad,
    /// A headline.
    Strong,
    /// Less important than what is beside it.
    Faint,
}

impl Look {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Where a command's data goes.
#[derive(Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    color: bool,
    terminal: bool,
    stdout: RefCell<BufWriter<Stdout>>,
}

impl Output {
    /// The process's own output in the form that was asked for.
    pub fn new(json: bool, quiet: bool, color: Color) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        };
        Self { json, quiet, color, terminal, stdout: RefCell::new(BufWriter::with_capacity(64 << 10, stdout)) }
    }

    /// Whether programs read this.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only the essential is wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a person looks at it while it is written.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One line.
    pub fn line(&self, line: impl fmt::Display) -> Result<(), Failure> {
        self.write(|out| writeln!(out, "{line}"))
    }

    /// Text that brings its own line feeds.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        self.write(|out| out.write_all(text.as_bytes()))
    }

    /// Bytes that are the data itself.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(|out| out.write_all(bytes))
    }

    /// One object in one line.
    pub fn object(&self, object: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(object).expect("what a command prints becomes JSON");
        self.line(line)
    }

    /// One thing in both forms: the object for programs, the text for people.
    pub fn either(&self, object: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { self.object(object) } else { self.text(&text()) }
    }

    /// Hands everything written so far to the reader.
    pub fn flush(&self) -> Result<(), Failure> {
        self.stdout.borrow_mut().flush().map_err(|error| Failure::stdout(&error))
    }

    /// Something to know beside the data, on stderr; not for programs, not when quiet.
    pub fn note(&self, note: impl fmt::Display) {
        if !self.quiet && !self.json {
            // Who closed stderr does not want to know.
            let _ = writeln!(io::stderr().lock(), "note: {note}");
        }
    }

    /// The same on stderr, also when quiet: what must not be lost although it is not the data.
    pub fn aside(&self, object: &impl Serialize, text: impl FnOnce() -> String) {
        let json = || serde_json::to_string(object).expect("what a command prints becomes JSON") + "\n";
        // Who closed stderr does not want to know.
        let _ = io::stderr().lock().write_all(if self.json { json() } else { text() }.as_bytes());
    }

    /// The text in its look, when colours are wanted.
    pub fn look(&self, look: Look, text: impl fmt::Display) -> String {
        if self.color {
            let style = look.style();
            format!("{style}{text}{style:#}")
        } else {
            text.to_string()
        }
    }

    /// A table, header first, no frame.
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        let text = table.render(self.color, self.terminal.then(width).flatten());
        self.text(&text)
    }

    /// The rows of a table whose header was printed before.
    pub fn rows(&self, table: &Table) -> Result<(), Failure> {
        let text = table.render(self.color, self.terminal.then(width).flatten());
        self.text(text.split_once('\n').map_or("", |(_, rows)| rows))
    }

    fn write(&self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) -> Result<(), Failure> {
        let mut out = self.stdout.borrow_mut();
        write(&mut out)
            .and_then(|()| if self.terminal { out.flush() } else { Ok(()) })
            .map_err(|error| Failure::stdout(&error))
    }
}

/// The width of the terminal, for those tables that are cut to it.
pub fn width() -> Option<u16> {
    terminal_size::terminal_size().map(|(terminal_size::Width(width), _)| width)
}

/// Rows for people. Cells keep their look; numbers stand right.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Vec<(Option<Look>, String)>>,
}

impl Table {
    /// A table with these columns; `right` lists those that hold numbers.
    pub fn new(header: &[&'static str], right: &[usize]) -> Self {
        Self { header: header.to_vec(), right: right.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.styled(cells.map(|cell| (None, cell)));
    }

    /// Adds a row whose cells may have a look.
    pub fn styled<const N: usize>(&mut self, cells: [(Option<Look>, String); N]) {
        assert_eq!(N, self.header.len(), "a row has a cell for each column");
        self.rows.push(cells.into());
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn render(&self, color: bool, width: Option<u16>) -> String {
        let mut grid = Grid::new();
        grid.load_style(comfy_table::presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(self.header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        for row in &self.rows {
            grid.add_row(row.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>());
        }
        for (place, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.right.contains(&place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let looks = self.rows.iter().map(Some);
        let mut text = String::new();
        for (line, row) in grid.lines().zip(std::iter::once(None).chain(looks)) {
            let line = line.trim_end();
            let line: String = match width {
                Some(width) => line.chars().take(usize::from(width)).collect::<String>().trim_end().to_owned(),
                None => line.to_owned(),
            };
            text.push_str(&if color { paint(&line, row) } else { line });
            text.push('\n');
        }
        text
    }
}

/// Colours the cells of a finished line, so that the codes do not disturb the widths.
fn paint(line: &str, row: Option<&Vec<(Option<Look>, String)>>) -> String {
    let Some(row) = row else {
        let style = Look::Strong.style();
        return format!("{style}{line}{style:#}");
    };
    let (mut painted, mut rest) = (String::new(), line);
    for (look, cell) in row {
        let Some(at) = rest.find(cell.as_str()).filter(|_| !cell.is_empty()) else { continue };
        painted.push_str(&rest[..at]);
        match look {
            Some(look) => painted.push_str(&format!("{}{cell}{:#}", look.style(), look.style())),
            None => painted.push_str(cell),
        }
        rest = &rest[at + cell.len()..];
    }
    painted + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_frame_and_no_trailing_space() {
        let mut table = Table::new(&["NODE", "EPOCH", "STATE"], &[1]);
        table.row(["n1".into(), "3".into(), "serving".into()]);
        table.row(["node-2".into(), "12".into(), "-".into()]);
        assert_eq!(table.render(false, None), "NODE    EPOCH  STATE\nn1          3  serving\nnode-2     12  -\n");
        assert_eq!(
            table.render(false, Some(8)),
            "NODE
n1
node-2
"
        );
    }

    #[test]
    fn colours_surround_their_cell_and_leave_the_columns_alone() {
        let mut table = Table::new(&["A", "B"], &[]);
        table.styled([(None, "x".into()), (Some(Look::Bad), "failed".into())]);
        let painted = table.render(true, None);
        let plain = anstream::adapter::strip_str(&painted).to_string();
        assert_eq!(plain, "A  B\nx  failed\n");
        assert!(painted.contains("m\u{1b}[31mfailed\u{1b}[0m") || painted.contains("[31mfailed"), "{painted:?}");
    }
}
