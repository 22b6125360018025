//! What of the text of a configuration file depends on the version of HAProxy that reads it. A word that it does not know is
//! fatal to it, so each of these is false as long as it is not sure.

use super::Version;

impl Version {
    /// Whether `option idle-close-on-response` is known. It came in 2.6 and was brought to 2.4 and 2.5 in early 2022; their
    /// releases of 2022-02-16 (2.4.13, 2.5.2) certainly have it.
    pub fn has_idle_close(self) -> bool {
        match (self.major, self.minor) {
            (2, 4) => self.patch >= 13,
            (2, 5) => self.patch >= 2,
            branch => branch >= (2, 6),
        }
    }

    /// Whether `hard-stop-after` and `expose-fd listeners` are known (1.8).
    pub fn has_hand_over(self) -> bool {
        (self.major, self.minor) >= (1, 8)
    }

    /// Whether servers know `init-addr` (1.7).
    pub fn has_init_addr(self) -> bool {
        (self.major, self.minor) >= (1, 7)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_begin_with_releases() {
        let version = |text: &str| text.parse::<super::Version>().unwrap();
        for (text, idle_close, hand_over, init_addr) in [
            ("1.5.18", false, false, false),
            ("1.7", false, false, true),
            ("1.8", false, true, true),
            ("2.4", false, true, true),
            ("2.4.13", true, true, true),
            ("2.5.1", false, true, true),
            ("2.6", true, true, true),
            ("3.0-dev3", true, true, true),
        ] {
            let version = version(text);
            let has = (version.has_idle_close(), version.has_hand_over(), version.has_init_addr());
            assert_eq!(has, (idle_close, hand_over, init_addr), "{text}");
        }
    }
}
