//! What DNS has come to, as metrics.
//!
//! Not here: the counting (the DNS side, which this crate does not know).

use lobby_core::stats::DnsCounts;

use super::text::{Kind::Counter, Kind::Gauge, Text};

/// Families that are made of the events of these names: the name of the family, what it says, the label, and the events.
type Events = (&'static str, &'static str, &'static str, &'static [&'static str]);

const EVENTS: &[Events] = &[
    ("lobby_dns_questions_total", "Requests that came, by transport.", "transport", &["udp", "tcp"]),
    ("lobby_dns_cache_total", "Answers that were kept, or had to be made.", "result", &["hit", "made"]),
    ("lobby_dns_short_total", "Answers that did not fit: the client was told, or not.", "what", &["truncated", "cut"]),
    ("lobby_dns_limited_total", "Questions above the rate of their network.", "what", &["again", "drop", "wait"]),
    (
        "lobby_dns_forward_total",
        "Questions about names of others.",
        "what",
        &["forwarded", "forward_hit", "forward_failed", "forward_full"],
    ),
    (
        "lobby_dns_connections_total",
        "TCP connections that were accepted or refused.",
        "what",
        &["connected", "connection_refused"],
    ),
    ("lobby_dns_failures_total", "Datagrams that could not be sent.", "what", &["send_failed"]),
];

pub(super) fn write(text: &mut Text, counts: &DnsCounts) {
    for (name, help, label, events) in EVENTS {
        let mut family = text.family(name, Counter, help);
        for (event, count) in counts.events.iter().filter(|(event, _)| events.contains(event)) {
            family.sample(&[(label, event)], count);
        }
    }
    let mut family = text.family("lobby_dns_answers_total", Counter, "Answers, by how they end.");
    for (rcode, count) in &counts.answers {
        family.sample(&[("rcode", rcode)], count);
    }
    let mut family =
        text.family("lobby_dns_malformed_total", Counter, "Requests that are not asked of any name, by what is wrong.");
    for (kind, count) in &counts.malformed {
        family.sample(&[("kind", kind)], count);
    }
    text.family("lobby_dns_connections", Gauge, "TCP connections that are open.").value(counts.connections);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_sample_of_its_family() {
        let events: Vec<_> =
            EVENTS.iter().flat_map(|(.., events)| events.iter()).zip(1..).map(|(event, n)| (*event, n)).collect();
        let counts = DnsCounts { events, answers: vec![("nxdomain", 50)], malformed: vec![("short", 60)], connections: 7 };
        let mut text = Text::default();
        write(&mut text, &counts);
        let text = text.finish();
        for line in [
            "lobby_dns_questions_total{transport=\"udp\"} 1",
            "lobby_dns_questions_total{transport=\"tcp\"} 2",
            "lobby_dns_cache_total{result=\"hit\"} 3",
            "lobby_dns_failures_total{what=\"send_failed\"} 16",
            "lobby_dns_answers_total{rcode=\"nxdomain\"} 50",
            "lobby_dns_malformed_total{kind=\"short\"} 60",
            "lobby_dns_connections 7",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}\n{text}");
        }
    }
}
