//! What packages hold about the command line: the manual page and what shells complete, all made of the table of settings.
//!
//! `lobbyd --generate man|bash|zsh|fish` prints one of them. Not here: those of lobbyctl, which makes its own.

use clap_complete::Shell;

/// Something about the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paper {
    /// The manual page, section 8.
    Man,
    /// What this shell completes.
    Shell(Shell),
}

impl Paper {
    /// What can be asked for.
    pub(crate) const NAMES: [&str; 4] = ["man", "bash", "zsh", "fish"];

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "man" => Self::Man,
            "bash" => Self::Shell(Shell::Bash),
            "zsh" => Self::Shell(Shell::Zsh),
            "fish" => Self::Shell(Shell::Fish),
            _ => return None,
        })
    }

    /// Its text.
    pub(crate) fn text(self) -> String {
        let (mut command, mut text) = (super::command(), Vec::new());
        match self {
            Self::Man => clap_mangen::Man::new(command).section("8").render(&mut text).expect("a vector takes all"),
            Self::Shell(shell) => clap_complete::generate(shell, &mut command, "lobbyd", &mut text),
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_paper_tells_of_settings_and_is_the_same_each_time() {
        for name in Paper::NAMES {
            let paper = Paper::named(name).unwrap();
            let text = paper.text();
            // Roff writes a dash with a backslash before it.
            assert!(text.replace('\\', "").contains("gossip-join"), "{name}: {text}");
            assert_eq!(text, paper.text());
        }
        assert_eq!(Paper::named("elvish"), None);
    }
}
