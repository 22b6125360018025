//! Patterns with `*` and `?`, as lists of functions and of environment variables have them.

/// A list of patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globs(Vec<String>);

impl Globs {
    /// These patterns: `*` is any text, `?` any one character.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them takes the text.
    pub fn take(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern.as_bytes(), text.as_bytes()))
    }
}

/// Goes back to the last `*` only, so it takes no more than pattern times text steps.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_text() {
        let globs = Globs::new(["sprig_*".into(), "k?y".into(), "*a*b*".into()]);
        assert!(["sprig_", "sprig_env", "key", "xxaxxbxx", "ab"].iter().all(|text| globs.take(text)));
        assert!(!["sprig", "keey", "ba", ""].iter().any(|text| globs.take(text)));
        assert!(!Globs::default().take("x"));
    }
}
