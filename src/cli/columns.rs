//! Lays out tables for people: columns as wide as their cells, as far as the terminal allows.

use super::terminal::{self, Color, TextStyle};

/// The least width of a terminal in which columns are further apart, in columns.
const WIDTH_AIRY: usize = 100;

/// A column, and its widths if the terminal is too narrow for all columns.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its heading.
    pub heading: String,
    /// The width that it gets before other columns get more than theirs.
    pub least: usize,
    /// The width that it gets before other columns get all that they need.
    pub usual: usize,
    /// Whether its cells are aligned to the right.
    pub right: bool,
    /// Whether long texts are cut in the middle, because their end says more.
    pub cut_middle: bool,
}

/// A text in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text. It is one line, with terminal control characters escaped.
    pub text: String,
    /// Its style.
    pub style: TextStyle,
}

impl Column {
    /// A column that is never cut while there is any room.
    pub fn whole(heading: &str) -> Self {
        Self::new(heading, usize::MAX, usize::MAX)
    }

    /// A column with these minimum and usual widths.
    pub fn new(heading: &str, least: usize, usual: usize) -> Self {
        Self { heading: heading.to_owned(), least, usual, right: false, cut_middle: false }
    }

    /// Aligns the column to the right, for numbers.
    pub fn of_numbers(self) -> Self {
        Self { right: true, ..self }
    }

    /// Cuts long texts in the middle.
    pub fn cut_in_the_middle(self) -> Self {
        Self { cut_middle: true, ..self }
    }

    fn fitted(&self, text: &str, width: usize) -> String {
        if self.right {
            let cut = terminal::cut(text, width);
            return " ".repeat(width.saturating_sub(terminal::columns(&cut))) + &cut;
        }
        match self.cut_middle {
            true => terminal::fitted_in_the_middle(text, width),
            false => terminal::fitted(text, width),
        }
    }
}

impl Cell {
    /// A text without a style.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: TextStyle::Plain }
    }

    /// A text in a style.
    pub fn styled(text: impl Into<String>, style: TextStyle) -> Self {
        Self { text: text.into(), style }
    }
}

/// Columns with the widths that their cells need, and the widths that they get.
#[derive(Debug)]
pub struct Grid {
    columns: Vec<Column>,
    /// Width of the terminal; `None` cuts nothing.
    width: Option<usize>,
    needs: Vec<usize>,
    widths: Vec<usize>,
    gap: usize,
}

impl Grid {
    /// A table of at most `width` columns of the terminal, whose cells need as much as the headings.
    pub fn new(columns: Vec<Column>, width: Option<usize>) -> Self {
        let needs: Vec<usize> =
            columns.iter().map(|column| terminal::columns(&column.heading)).collect();
        let gap = if width.is_some_and(|width| width < WIDTH_AIRY) { 1 } else { 2 };
        let mut grid = Self { columns, width, needs, widths: Vec::new(), gap };
        grid.share();
        grid
    }

    /// Widens columns for these cells.
    pub fn fit<'a>(&mut self, rows: impl IntoIterator<Item = &'a [Cell]>) {
        for row in rows {
            for (need, cell) in self.needs.iter_mut().zip(row) {
                *need = (*need).max(terminal::columns(&cell.text));
            }
        }
        self.share();
    }

    /// Widens columns to at least these widths.
    pub fn reserve(&mut self, widths: &[usize]) {
        for (need, width) in self.needs.iter_mut().zip(widths) {
            *need = (*need).max(*width);
        }
        self.share();
    }

    /// The line of headings.
    pub fn headings(&self, color: Color) -> String {
        let heading = |column: &Column| Cell::styled(column.heading.as_str(), TextStyle::Bold);
        let row: Vec<Cell> = self.columns.iter().map(heading).collect();
        self.line(&row, color)
    }

    /// The line of a row, without a line break.
    pub fn line(&self, row: &[Cell], color: Color) -> String {
        let mut line = String::new();
        let last = self.columns.len().saturating_sub(1);
        let cells = self.columns.iter().zip(&self.widths).zip(row).enumerate();
        // The last column needs no padding.
        let mut pending = 0;
        for (position, ((column, width), cell)) in cells {
            let fitted = match position == last && !column.right {
                true => terminal::cut(&cell.text, *width),
                false => column.fitted(&cell.text, *width),
            };
            let mut shown = fitted.trim_end();
            if column.right {
                let number = shown.trim_start();
                pending += shown.len() - number.len();
                shown = number;
            }
            if !shown.is_empty() {
                line.extend(std::iter::repeat_n(' ', pending));
                line.push_str(&color.paint(cell.style, shown));
                pending = 0;
            }
            pending += terminal::columns(&fitted) - terminal::columns(fitted.trim_end());
            if *width > 0 {
                pending += self.gap;
            }
        }
        line
    }

    /// Distributes the width over the columns in rounds, the first columns first.
    fn share(&mut self) {
        let Some(width) = self.width else {
            self.widths.clone_from(&self.needs);
            return;
        };
        let gaps = self.gap * self.columns.len().saturating_sub(1);
        let mut room = width.saturating_sub(gaps);
        self.widths = vec![0; self.columns.len()];
        // Columns that are never cut come first, wherever they are.
        let whole = |column: &Column| if column.least == usize::MAX { usize::MAX } else { 0 };
        let rounds: [fn(&Column) -> usize; 4] =
            [whole, |column| column.least, |column| column.usual, |_| usize::MAX];
        for most in rounds {
            for ((own, need), column) in self.widths.iter_mut().zip(&self.needs).zip(&self.columns)
            {
                let more = (*need).min(most(column)).saturating_sub(*own).min(room);
                *own += more;
                room -= more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: usize) -> Grid {
        let columns = vec![
            Column::whole("SEQ").of_numbers(),
            Column::new("TYPE", 32, 32).cut_in_the_middle(),
            Column::new("WHO", 4, 8),
            Column::new("DETAIL", 8, 12),
        ];
        Grid::new(columns, Some(width))
    }

    fn row(texts: [&str; 4]) -> Vec<Cell> {
        texts.map(Cell::plain).to_vec()
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut grid = grid(80);
        let rows = [row(["7", "exec", "bob", "ls"]), row(["1234", "user.login", "alice", ""])];
        grid.fit(rows.iter().map(Vec::as_slice));
        assert_eq!(grid.headings(Color(false)), " SEQ TYPE       WHO   DETAIL");
        assert_eq!(grid.line(&rows[0], Color(false)), "   7 exec       bob   ls");
        assert_eq!(grid.line(&rows[1], Color(false)), "1234 user.login alice");
        let colored = vec![Cell::styled("7", TextStyle::Bad); 4];
        assert_eq!(grid.line(&colored, Color(true)).matches("\u{1b}[31m7\u{1b}[0m").count(), 4);
    }

    #[test]
    fn earlier_columns_get_room_first_and_no_line_is_too_long() {
        let long =
            row(["1", "windows.desktop.session.start", "li-wei@example.org", "the reason why"]);
        for width in 1..200 {
            let mut grid = grid(width);
            grid.fit([long.as_slice()]);
            for line in [grid.headings(Color(false)), grid.line(&long, Color(false))] {
                assert!(terminal::columns(&line) <= width, "{width}: {line:?}");
            }
        }
        let mut narrow = grid(50);
        narrow.fit([long.as_slice()]);
        let line = narrow.line(&long, Color(false));
        assert_eq!(line, "  1 windows.desktop.session.start li-wei… the rea…");
        let mut free = Grid::new(grid(80).columns, None);
        free.fit([long.as_slice()]);
        assert!(free.line(&long, Color(false)).ends_with("the reason why"));
    }
}
