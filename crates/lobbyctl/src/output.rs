//! What is written to stdout: JSON for machines, aligned text for people, coloured only on a terminal.
//!
//! Text from the fleet may hold anything; control characters never reach the terminal.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Where and how results are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    coloured: bool,
}

/// What a piece of text means, which is what decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Good,
    Doubtful,
    Bad,
}

/// A piece of text and what it means.
#[derive(Clone, Debug)]
pub(crate) struct Cell(pub(crate) Tone, pub(crate) String);

impl Output {
    /// JSON if asked for; else text, coloured if stdout is a terminal and NO_COLOR is not set.
    pub(crate) fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, coloured: io::stdout().is_terminal() && !no_color }
    }

    /// One value: as JSON, or as the text that `text` makes of it.
    pub(crate) fn value<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> Vec<Vec<Cell>>) -> anyhow::Result<()> {
        let shown = if self.json { serde_json::to_string_pretty(value)? + "\n" } else { self.align(&text(value)) };
        Ok(io::stdout().lock().write_all(shown.as_bytes())?)
    }

    /// One of many values: as JSON on one line, or as one line of text.
    pub(crate) fn line<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> Vec<Cell>) -> anyhow::Result<()> {
        self.lines(value, |value| vec![text(value)])
    }

    /// One of many values: as JSON on one line, or as some lines of text.
    pub(crate) fn lines<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> Vec<Vec<Cell>>) -> anyhow::Result<()> {
        let shown = if self.json { serde_json::to_string(value)? + "\n" } else { self.align(&text(value)) };
        Ok(io::stdout().lock().write_all(shown.as_bytes())?)
    }

    /// One value: as JSON, or as this text, whose lines and tabs stay as they are.
    pub(crate) fn text<T: Serialize>(self, value: &T, text: &str) -> anyhow::Result<()> {
        let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        let shown = if self.json { serde_json::to_string_pretty(value)? + "\n" } else { text.replace(is_bad, "\u{fffd}") };
        Ok(io::stdout().lock().write_all(shown.as_bytes())?)
    }

    /// A change was made.
    pub(crate) fn done(self, what: &str) -> anyhow::Result<()> {
        self.value(&serde_json::json!({ "ok": true }), |_| vec![vec![plain(what)]])
    }

    /// Rows with their columns aligned; the last one runs free.
    fn align(self, rows: &[Vec<Cell>]) -> String {
        let mut widths = Vec::new();
        for row in rows {
            for (idx, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
                widths.resize(widths.len().max(idx + 1), 0);
                widths[idx] = widths[idx].max(cell.1.chars().count());
            }
        }
        let mut text = String::new();
        for row in rows {
            for (idx, cell) in row.iter().enumerate() {
                text.push_str(&self.paint(cell));
                if idx + 1 < row.len() {
                    text.extend(std::iter::repeat_n(' ', widths[idx] - cell.1.chars().count() + 2));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    fn paint(self, Cell(tone, text): &Cell) -> String {
        let text = text.replace(|c: char| c.is_control(), "\u{fffd}");
        let code = match tone {
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
            Tone::Plain => return text,
        };
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }
}

/// Text without a meaning of its own.
pub(crate) fn plain(text: impl Into<String>) -> Cell {
    Cell(Tone::Plain, text.into())
}

/// The heading of a table.
pub(crate) fn heading(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell(Tone::Heading, (*name).into())).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            heading(&["HOST", "LABELS"]),
            vec![Cell(Tone::Good, "mlýn".into()), plain("a b")],
            vec![plain("a-long-name"), plain("")],
            vec![plain("\x1b[31m"), plain("x")],
        ]
    }

    #[test]
    fn columns_are_aligned_and_control_characters_are_shown_as_such() {
        let text = Output { json: false, coloured: false }.align(&rows());
        expect![[r#"
            HOST         LABELS
            mlýn         a b
            a-long-name
            �[31m        x
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let text = Output { json: false, coloured: true }.align(&rows()[..2]);
        assert_eq!(text, "\x1b[1mHOST\x1b[0m  \x1b[1mLABELS\x1b[0m\n\x1b[32mmlýn\x1b[0m  a b\n");
    }
}
