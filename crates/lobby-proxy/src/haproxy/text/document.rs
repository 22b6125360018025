//! The text as it grows, with and without the lines of our servers, and the warnings beside it.

/// How many warnings one layout gives; beyond it, only their number.
const WARNINGS: usize = 64;

/// Text under construction.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) text: String,
    pub(super) skeleton: String,
}

impl Document {
    /// The comment on top, and an empty line.
    pub(super) fn head(&mut self, comment: &str) {
        self.push(&format!("{comment}\n\n"));
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.push("\n");
    }

    pub(super) fn section(&mut self, title: &str, lines: &[String]) {
        self.push(&format!("{title}\n"));
        for line in lines {
            self.push(&format!("\t{line}\n"));
        }
    }

    /// The line of one of our servers, in the section that is open.
    pub(super) fn server(&mut self, line: &str) {
        self.text.push_str(&format!("\t{line}\n"));
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.skeleton.push_str(text);
    }
}

/// What people should know.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    list: Vec<String>,
    n_more: usize,
}

impl Warnings {
    pub(super) fn push(&mut self, warning: String) {
        if self.list.len() < WARNINGS {
            self.list.push(warning);
        } else {
            self.n_more += 1;
        }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.n_more > 0 {
            self.list.push(format!("and {} more warnings", self.n_more));
        }
        self.list
    }
}

/// A text of others for a warning: on one line, and short.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}

/// One line: a control character is a blank, and there are none around it.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// A title, and the address that it may hold after its name: HAProxy wants that on a line of its own since 1.6.
pub(crate) fn split_title(title: &str) -> (String, Option<String>) {
    let title = clean(title);
    let words: Vec<_> = title.split_whitespace().collect();
    match words.as_slice() {
        [kind @ ("listen" | "frontend"), name, address, rest @ ..] if *address != "from" => {
            let words: Vec<_> = [&["bind", address], rest].concat();
            (format!("{kind} {name}"), Some(words.join(" ")))
        }
        _ => (title, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_leave_titles() {
        for (title, want, bind) in [
            ("listen stats :1937", "listen stats", Some("bind :1937")),
            ("frontend  x  10.0.0.1:80,:81 mss 5", "frontend x", Some("bind 10.0.0.1:80,:81 mss 5")),
            ("listen stats", "listen stats", None),
            ("listen stats from base", "listen stats from base", None),
            ("userlist a b", "userlist a b", None),
            ("peers\nx", "peers x", None),
        ] {
            assert_eq!(split_title(title), (want.to_owned(), bind.map(str::to_owned)), "{title:?}");
        }
    }

    #[test]
    fn warnings_are_bounded() {
        let mut warnings = Warnings::default();
        (0..WARNINGS + 3).for_each(|n| warnings.push(n.to_string()));
        let list = warnings.finish();
        assert_eq!((list.len(), list[WARNINGS].as_str()), (WARNINGS + 1, "and 3 more warnings"));
    }
}
