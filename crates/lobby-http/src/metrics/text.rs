//! Prometheus' text form: families with HELP and TYPE, samples with escaped label values.

use std::fmt::{Display, Write};

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// A document in the making.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// One family, whose samples follow each other.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Text {
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        for part in ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"] {
            self.0.push_str(part);
        }
        Family { text: &mut self.0, name }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (idx, (name, value)) in labels.iter().enumerate() {
            self.text.push(if idx == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("writing to a text does not fail");
    }

    /// The one sample of a family without labels.
    pub(super) fn value(&mut self, value: impl Display) {
        self.sample(&[], value);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_family() {
        let mut text = Text::default();
        let mut family = text.family("lobby_x", Kind::Gauge, "An x.");
        family.sample(&[("a", "plain"), ("b", "q\"b\\n\n")], 1.5);
        family.value(2);
        expect![[r##"
            # HELP lobby_x An x.
            # TYPE lobby_x gauge
            lobby_x{a="plain",b="q\"b\\n\n"} 1.5
            lobby_x 2
        "##]]
        .assert_eq(&text.finish());
    }
}
