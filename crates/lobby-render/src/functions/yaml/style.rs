//! How a text is written in YAML: plain where it reads back as the same text, otherwise quoted. Decides by libyaml's analysis,
//! as yaml.v2 does.

use lobby_template::Value;

use super::scalar::{is_base_60, is_date, resolved};

/// A way to write a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    /// `|` and lines as they are.
    Literal,
}

/// What of a text forbids some ways to write it.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// What yaml.v2 asks for, before libyaml looks at the characters.
    wanted: Option<Style>,
    is_empty: bool,
    /// Begins or ends with a blank or a line break.
    is_loose: bool,
    ends_with_blank: bool,
    /// A blank after a line break.
    break_blank: bool,
    /// A blank before a line break, or what cannot be printed.
    is_special: bool,
    has_breaks: bool,
    /// Something that means something in YAML.
    is_indicator: bool,
}

impl Text {
    pub(super) fn of(text: &str) -> Self {
        let is_text = matches!(resolved(text), Value::Str(_)) && text != "<<" && !is_base_60(text) && !is_date(text);
        let is_blank =
            |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}'));
        let is_break = |c: char| matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let mut looks = Self {
            wanted: Some(match text.contains('\n') {
                true => Style::Literal,
                false if is_text => Style::Plain,
                false => Style::Double,
            }),
            is_empty: text.is_empty(),
            is_indicator: text.starts_with("---") || text.starts_with("..."),
            ends_with_blank: text.ends_with(' '),
            is_loose: text.starts_with(' ') || text.ends_with(' ') || text.starts_with(is_break) || text.ends_with(is_break),
            ..Self::default()
        };
        let mut before = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let then_blank = is_blank(chars.peek().copied());
            looks.is_indicator |= match (before, c) {
                (None, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => true,
                (None, '?' | '-') | (_, ':') => then_blank,
                (before, '#') => is_blank(before),
                _ => false,
            };
            looks.is_special |= !is_printable(c) || (is_break(c) && before == Some(' '));
            looks.has_breaks |= is_break(c);
            looks.break_blank |= c == ' ' && before.is_some_and(is_break);
            before = Some(c);
        }
        looks
    }

    /// The way to write it; `is_key`: before a colon on the same line.
    pub(super) fn style(&self, is_key: bool) -> Style {
        let single = match self.break_blank || self.is_special || (is_key && self.has_breaks) {
            true => Style::Double,
            false => Style::Single,
        };
        match self.wanted.unwrap_or(Style::Double) {
            Style::Plain if self.is_empty && is_key => single,
            Style::Plain if self.is_loose || self.is_special || self.has_breaks || self.is_indicator => single,
            Style::Literal if self.ends_with_blank || self.is_special || is_key => Style::Double,
            wanted => wanted,
        }
    }
}

/// Whether libyaml would write it as it is: not what is beyond 16 bits.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// A character between double quotes.
pub(super) fn escaped(c: char) -> String {
    let short = match c {
        '\0' => "\\0",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\x0b' => "\\v",
        '\x0c' => "\\f",
        '\r' => "\\r",
        '\x1b' => "\\e",
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{85}' => "\\N",
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        c if is_printable(c) => return c.into(),
        c => {
            return match u32::from(c) {
                code @ ..0x100 => format!("\\x{code:02X}"),
                code @ 0x100..0x1_0000 => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            };
        }
    };
    short.into()
}
