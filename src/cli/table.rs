//! Tables as `kubectl` prints them: upper-case headers, aligned columns, no lines.
//!
//! Cells may hold anything that a cluster holds, so control characters are shown, never sent to the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

/// Blanks between two columns.
const GAP: usize = 3;

/// A table that is being put together.
#[derive(Clone, Debug)]
pub struct Table {
    headers: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell with a style.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: printable(&text.into()).into_owned(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

impl Table {
    /// A table with these headers; they are put in upper case.
    pub fn new<H: AsRef<str>>(headers: impl IntoIterator<Item = H>) -> Self {
        let headers: Vec<String> = headers
            .into_iter()
            .map(|header| printable(&header.as_ref().to_uppercase()).into_owned())
            .collect();
        Self { right: vec![false; headers.len()], headers, rows: Vec::new() }
    }

    /// Aligns columns to the right, for numbers.
    #[must_use]
    pub fn right(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        for column in columns {
            if let Some(right) = self.right.get_mut(column) {
                *right = true;
            }
        }
        self
    }

    /// Adds a line. Cells beyond the last header are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().take(self.headers.len()).collect());
    }

    /// Whether there is no line but the header.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole table, each line with a line break.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = self.headers.iter().map(|header| header.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let bold = Style::new().bold();
        let headers: Vec<Cell> =
            self.headers.iter().map(|text| Cell { text: text.clone(), style: bold }).collect();
        let mut out = String::new();
        for row in std::iter::once(&headers).chain(&self.rows) {
            self.line(row, &widths, &mut out);
        }
        out
    }

    fn line(&self, row: &[Cell], widths: &[usize], out: &mut String) {
        // Blanks are written only when a cell follows, so that no line ends with any.
        let mut blanks = 0;
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let free = width.saturating_sub(cell.text.width());
            let (before, after) = if self.right.get(column) == Some(&true) { (free, 0) } else { (0, free) };
            if !cell.text.is_empty() {
                let style = cell.style;
                let _ = write!(out, "{:blanks$}{style}{}{style:#}", "", cell.text, blanks = blanks + before);
                blanks = after + GAP;
            } else {
                blanks += width + GAP;
            }
        }
        out.push('\n');
    }
}

/// Text with control characters and direction overrides written out (`\n`, `\u{1b}`).
pub fn printable(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Text cut down to `width` columns; an ellipsis stands for what is missing.
pub fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if out.width() >= width {
            out.pop();
            break;
        }
    }
    out.push('…');
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_line_up_and_no_line_ends_with_blanks() {
        let mut table = Table::new(["name", "rows", "state"]).right([1]);
        table.row(["a".into(), "1".into(), "done".into()]);
        table.row(["a-longer-one".into(), "12345".into(), "".into()]);
        assert_eq!(
            plain(&table.render()),
            "NAME            ROWS   STATE\na                  1   done\na-longer-one   12345\n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(["a", "b"]);
        table.row(["店铺".into(), "x".into()]);
        table.row(["shop".into(), "y".into()]);
        assert_eq!(plain(&table.render()), "A      B\n店铺   x\nshop   y\n");
    }

    #[test]
    fn an_empty_cell_keeps_its_column() {
        let mut table = Table::new(["a", "b", "c"]);
        table.row(["1".into(), "".into(), "3".into()]);
        assert_eq!(plain(&table.render()), "A   B   C\n1       3\n");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let mut table = Table::new(["a"]);
        table.row(["\u{1b}[2Jx\ny\u{202e}".into()]);
        assert_eq!(plain(&table.render()), "A\n\\u{1b}[2Jx\\ny\\u{202e}\n");
    }

    #[test]
    fn long_text_is_cut_by_columns_not_bytes() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("店铺店铺", 5), "店铺…");
    }
}
