//! Renders tables as kubectl does: columns are as wide as their widest cell. Pure.

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// The spaces between two columns; fewer if the table would be too wide.
const GAP: usize = 3;

/// The lines of a table, header first. Rows shorter than the header are filled with empty cells.
#[must_use]
pub fn table(header: &[(&str, Align)], rows: &[Vec<String>]) -> Vec<String> {
    let columns: Vec<usize> = (0..header.len()).collect();
    lines(header, rows, &columns, GAP)
}

/// The lines of a table within a width. If needed, the gaps shrink; if that is not enough, the
/// table is split into parts, each of which begins with the first `keys` columns, which identify a
/// row. Nothing is cut off: a cell wider than `width` makes its line longer.
#[must_use]
pub fn table_within(
    header: &[(&str, Align)],
    rows: &[Vec<String>],
    keys: usize,
    width: usize,
) -> Vec<String> {
    let widths: Vec<usize> = (0..header.len()).map(|column| column_width(header, rows, column)).collect();
    let taken = |columns: &[usize], gap: usize| {
        let cells: usize = columns.iter().filter_map(|column| widths.get(*column)).sum();
        cells + gap * columns.len().saturating_sub(1)
    };
    let all: Vec<usize> = (0..header.len()).collect();
    if let Some(gap) = (GAP - 1..=GAP).rev().find(|gap| taken(&all, *gap) <= width) {
        return lines(header, rows, &all, gap);
    }
    let gap = GAP - 1;
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for column in keys..header.len() {
        match parts.last_mut() {
            Some(part) if taken(&[part.as_slice(), &[column]].concat(), gap) <= width => part.push(column),
            _ => parts.push((0..keys).chain([column]).collect()),
        }
    }
    let parts = parts.iter().map(|columns| lines(header, rows, columns, gap));
    parts.collect::<Vec<_>>().join(&String::new())
}

fn column_width(header: &[(&str, Align)], rows: &[Vec<String>], column: usize) -> usize {
    let title = header.get(column).map_or(0, |(title, _)| title.chars().count());
    let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
    cells.chain([title]).max().unwrap_or(0)
}

fn lines(header: &[(&str, Align)], rows: &[Vec<String>], columns: &[usize], gap: usize) -> Vec<String> {
    let widths: Vec<usize> = columns.iter().map(|column| column_width(header, rows, *column)).collect();
    let line = |cell: &dyn Fn(usize) -> String| {
        let padded: Vec<String> = columns
            .iter()
            .zip(&widths)
            .map(|(column, width)| match header.get(*column).map(|(_, align)| align) {
                Some(Align::Right) => format!("{:>width$}", cell(*column)),
                _ => format!("{:<width$}", cell(*column)),
            })
            .collect();
        padded.join(&" ".repeat(gap)).trim_end().to_owned()
    };
    let titles = line(&|column| header.get(column).map(|(title, _)| (*title).to_owned()).unwrap_or_default());
    let rows = rows.iter().map(|row| line(&|column| row.get(column).cloned().unwrap_or_default()));
    std::iter::once(titles).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_widest_cell_without_trailing_spaces() {
        let header = [("NAME", Align::Left), ("RATE", Align::Right), ("ENDS", Align::Left)];
        let rows = [vec!["a".into(), "50,000".into(), String::new()], vec!["longer".into(), "1".into()]];
        assert_eq!(table(&header, &rows), ["NAME       RATE   ENDS", "a        50,000", "longer        1"]);
    }

    #[test]
    fn wide_table_shrinks_gaps_and_then_splits_into_parts() {
        let header = [("NAME", Align::Left), ("RATE", Align::Right), ("ENDS", Align::Left)];
        let rows = [vec!["a".into(), "50,000".into(), "10:00".into()], vec!["longer".into(), "1".into()]];
        assert_eq!(table_within(&header, &rows, 1, 23), table(&header, &rows));
        assert_eq!(
            table_within(&header, &rows, 1, 22),
            ["NAME      RATE  ENDS", "a       50,000  10:00", "longer       1"]
        );
        assert_eq!(
            table_within(&header, &rows, 1, 20),
            [
                "NAME      RATE",
                "a       50,000",
                "longer       1",
                "",
                "NAME    ENDS",
                "a       10:00",
                "longer"
            ]
        );
        // Even the narrowest table has every column.
        let narrow = table_within(&header, &rows, 1, 1).join("\n");
        assert!(["RATE", "ENDS", "50,000", "10:00"].iter().all(|text| narrow.contains(text)), "{narrow}");
    }

    #[test]
    fn every_part_begins_with_all_key_columns() {
        let header =
            [("SPACE", Align::Left), ("NAME", Align::Left), ("RATE", Align::Right), ("ENDS", Align::Left)];
        let rows =
            [["x", "a", "1", "10:00"], ["x", "b", "2", "11:00"]].map(|row| row.map(str::to_owned).to_vec());
        let parts = [
            "SPACE  NAME  RATE",
            "x      a        1",
            "x      b        2",
            "",
            "SPACE  NAME  ENDS",
            "x      a     10:00",
            "x      b     11:00",
        ];
        assert_eq!(table_within(&header, &rows, 2, 20), parts);
        assert_eq!(table_within(&header, &rows, 2, 1), parts);
    }
}
