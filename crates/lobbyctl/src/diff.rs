//! How two texts differ: the unified form, and in how many lines.
//!
//! Differences are those of lines, shortest first; texts that differ in very many lines are shown as replaced.

use std::fmt::Write as _;

/// Lines around a change.
const CONTEXT: usize = 3;

/// Pairs of lines that are compared, at most: a table of 16 MiB, for two texts of 2000 lines that have nothing in common.
const MOST_PAIRS: usize = 4 << 20;

/// A line of both texts, of the old one only, or of the new one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The unified difference of two texts; nothing if they are equal.
pub(crate) fn diff(name: &str, old: &str, new: &str) -> String {
    let lines = compare(&old.split_inclusive('\n').collect::<Vec<_>>(), &new.split_inclusive('\n').collect::<Vec<_>>());
    let is_change = |line: &Line<'_>| !matches!(line, Line::Both(_));
    let near = |at: usize| lines[at.saturating_sub(CONTEXT)..lines.len().min(at + CONTEXT + 1)].iter().any(is_change);
    let (mut out, mut at, mut n_old, mut n_new) = (String::new(), 0, 0, 0);
    while at < lines.len() {
        let n_lines = (at..lines.len()).take_while(|at| near(*at)).count();
        let hunk = &lines[at..at + n_lines.max(1)];
        let (in_old, in_new) =
            (count(hunk, |line| !matches!(line, Line::New(_))), count(hunk, |line| !matches!(line, Line::Old(_))));
        if n_lines > 0 {
            if out.is_empty() {
                let _ = write!(out, "--- {name}\n+++ {name}\n");
            }
            // A part without lines is named by the line before it.
            let (first_old, first_new) = (n_old + usize::from(in_old > 0), n_new + usize::from(in_new > 0));
            let _ = writeln!(out, "@@ -{first_old},{in_old} +{first_new},{in_new} @@");
            hunk.iter().for_each(|line| put(&mut out, *line));
        }
        (n_old, n_new, at) = (n_old + in_old, n_new + in_new, at + hunk.len());
    }
    out
}

/// How many lines were added, and how many removed.
pub(crate) fn counts(old: &str, new: &str) -> (usize, usize) {
    let lines = compare(&old.split_inclusive('\n').collect::<Vec<_>>(), &new.split_inclusive('\n').collect::<Vec<_>>());
    (count(&lines, |line| matches!(line, Line::New(_))), count(&lines, |line| matches!(line, Line::Old(_))))
}

fn count(lines: &[Line<'_>], of: impl Fn(&Line<'_>) -> bool) -> usize {
    lines.iter().filter(|line| of(line)).count()
}

fn put(out: &mut String, line: Line<'_>) {
    let (mark, text) = match line {
        Line::Both(text) => (' ', text),
        Line::Old(text) => ('-', text),
        Line::New(text) => ('+', text),
    };
    out.push(mark);
    out.push_str(text);
    if !text.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}

/// All lines of both texts.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(old, new)| old == new).count();
    let both = |lines: &[&'a str]| lines.iter().map(|line| Line::Both(line)).collect::<Vec<_>>();
    let mut lines = both(&old[..head]);
    lines.extend(middle(&old[head..old.len() - tail], &new[head..new.len() - tail]));
    lines.extend(both(&old[old.len() - tail..]));
    lines
}

/// The same for what is between the first and the last difference.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let width = new.len() + 1;
    let is_too_long = (old.len() + 1).checked_mul(width).is_none_or(|pairs| pairs > MOST_PAIRS);
    if is_too_long {
        return old.iter().map(|line| Line::Old(line)).chain(new.iter().map(|line| Line::New(line))).collect();
    }
    // How many lines the rest of the old text, from a line on, has in common with the rest of the new one, from another on.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for (row, line) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            common[row * width + column] = match line == other {
                true => common[(row + 1) * width + column + 1] + 1,
                false => common[(row + 1) * width + column].max(common[row * width + column + 1]),
            };
        }
    }
    let (mut row, mut column, mut lines) = (0, 0, Vec::with_capacity(old.len() + new.len()));
    loop {
        match (old.get(row), new.get(column)) {
            (None, None) => return lines,
            (Some(line), Some(other)) if line == other => {
                lines.push(Line::Both(line));
                (row, column) = (row + 1, column + 1);
            }
            (Some(line), other) if other.is_none() || common[(row + 1) * width + column] >= common[row * width + column + 1] => {
                lines.push(Line::Old(line));
                row += 1;
            }
            (_, Some(line)) => {
                lines.push(Line::New(line));
                column += 1;
            }
            // The guard above takes these.
            (Some(_), None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, want: Expect) {
        want.assert_eq(&diff("f", old, new));
    }

    #[test]
    fn equal_texts_do_not_differ() {
        check("", "", expect![""]);
        check("a\nb", "a\nb", expect![""]);
    }

    #[test]
    fn a_new_file_has_only_new_lines() {
        check(
            "",
            "a\nb\n",
            expect![[r#"
            --- f
            +++ f
            @@ -0,0 +1,2 @@
            +a
            +b
        "#]],
        );
    }

    #[test]
    fn changes_have_three_lines_around_them_and_those_far_apart_are_in_parts() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n5\n", "\nfive\n").replace("19\n", "");
        check(
            &old,
            &new,
            expect![[r#"
            --- f
            +++ f
            @@ -2,7 +2,7 @@
             2
             3
             4
            -5
            +five
             6
             7
             8
            @@ -16,5 +16,4 @@
             16
             17
             18
            -19
             20
        "#]],
        );
    }

    #[test]
    fn a_missing_end_of_line_is_a_difference() {
        check(
            "a\n",
            "a",
            expect![[r#"
            --- f
            +++ f
            @@ -1,1 +1,1 @@
            -a
            +a
            \ No newline at end of file
        "#]],
        );
    }

    #[test]
    fn very_long_texts_are_replaced() {
        let text = |word: &str| (0..3000).map(|n| format!("{word}{n}\n")).collect::<String>();
        let (old, new) = (text("a"), text("b"));
        let got = diff("f", &old, &new);
        assert!(got.starts_with("--- f\n+++ f\n@@ -1,3000 +1,3000 @@\n-a0\n-a1\n"), "{}", &got[..60]);
        assert_eq!(got.lines().count(), 6003);
        assert_eq!(counts(&old, &new), (3000, 3000));
    }
}
