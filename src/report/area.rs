//! The bottom lines of a terminal, redrawn in place under the history. Makes control sequences; writes nothing itself.

use unicode_width::UnicodeWidthStr;

/// Holds back the terminal's own drawing until the end of an update, where it knows how; ignored elsewhere.
const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";

/// What was drawn last, and so must be erased first.
#[derive(Debug, Default)]
pub(super) struct Area {
    /// Columns of each line on the screen; the cursor stands at the end of the last.
    widths: Vec<usize>,
}

impl Area {
    /// Replaces the area by `above`, which stays as history, and `lines`. `columns`: the terminal's width now. Lines are
    /// narrower than that; where the terminal was made smaller since, it has wrapped the old ones.
    pub fn redraw(&mut self, above: &[String], lines: &[String], columns: usize) -> String {
        let mut out = String::from(BEGIN);
        out.push_str(&self.erase(columns));
        for line in above {
            out.push_str(line);
            out.push_str("\r\n");
        }
        out.push_str(&lines.join("\r\n"));
        out.push_str(END);
        self.widths = lines.iter().map(|l| anstream::adapter::strip_str(l).to_string().width()).collect();
        out
    }

    /// Back to the first column of the area's first row, everything below erased.
    fn erase(&self, columns: usize) -> String {
        let rows: usize = self.widths.iter().map(|w| w.div_ceil(columns.max(1)).max(1)).sum();
        match rows {
            0 => String::new(),
            1 => "\r\u{1b}[J".into(),
            n => format!("\r\u{1b}[{}A\u{1b}[J", n - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{InMemoryTerm, TermLike as _};

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn the_area_is_replaced_and_the_history_stays() {
        let term = InMemoryTerm::new(10, 40);
        let mut area = Area::default();
        term.write_str(&area.redraw(&lines(&["one"]), &lines(&["now 1", "bar", "> "]), 40)).unwrap();
        term.write_str(&area.redraw(&lines(&["two", "three"]), &lines(&["now 2", "> a"]), 40)).unwrap();
        assert_eq!(term.contents(), "one\ntwo\nthree\nnow 2\n> a");
        term.write_str(&area.redraw(&lines(&["the end"]), &[], 40)).unwrap();
        assert_eq!(term.contents(), "one\ntwo\nthree\nthe end");
        assert!(area.widths.is_empty());
    }

    #[test]
    fn it_scrolls_at_the_foot_of_the_screen() {
        let term = InMemoryTerm::new(4, 40);
        let mut area = Area::default();
        for n in 0..9 {
            term.write_str(&area.redraw(&[format!("line {n}")], &lines(&["now", "> "]), 40)).unwrap();
        }
        assert_eq!(term.contents(), "line 7\nline 8\nnow\n>");
    }

    #[test]
    fn lines_that_a_smaller_terminal_has_wrapped_are_erased_whole() {
        let mut area = Area::default();
        area.redraw(&[], &lines(&["0123456789", "> "]), 20);
        assert!(area.redraw(&[], &[], 4).contains("\u{1b}[3A"), "3 rows and 1");
    }
}
