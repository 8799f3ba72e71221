//! A table of texts, columns as wide as their widest cell, as kubectl prints them. Pure.

/// Which way a column leans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// The lines of a table, header first. Rows shorter than the header are filled with empty cells.
#[must_use]
pub fn table(header: &[(&str, Align)], rows: &[Vec<String>]) -> Vec<String> {
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, (title, _))| {
            let cells = rows.iter().map(|row| cell(row, column).chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .into_iter()
            .zip(header.iter().zip(&widths))
            .map(|(cell, ((_, align), width))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        padded.join("   ").trim_end().to_owned()
    };
    let titles = line(header.iter().map(|(title, _)| (*title).to_owned()).collect());
    let rows = rows.iter().map(|row| line((0..header.len()).map(|column| cell(row, column)).collect()));
    std::iter::once(titles).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let header = [("NAME", Align::Left), ("RATE", Align::Right), ("ENDS", Align::Left)];
        let rows = [vec!["a".into(), "50,000".into(), String::new()], vec!["longer".into(), "1".into()]];
        assert_eq!(table(&header, &rows), ["NAME       RATE   ENDS", "a        50,000", "longer        1"]);
    }
}
