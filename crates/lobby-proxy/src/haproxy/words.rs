//! The words at the end of a server's line. Decides how such a text is split, which words have arguments, and what a catalog
//! may say there: known words only, so that one bad registration does not make HAProxy refuse the whole file.

mod table;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use self::table::{ELSEWHERE, Follows, follows, since};
use super::version::Version;

/// Longest options of one backend from a catalog: a quarter of the shortest line limit of HAProxy (2 048 in 1.5).
const CATALOG_BYTES: usize = 512;

/// Most words of one backend's options from a catalog: HAProxy reads 64 of a line, of which we write 12.
const CATALOG_WORDS: usize = 24;

/// The greatest weight of a server.
pub(crate) const HEAVIEST: u32 = 256;

/// The greatest number that HAProxy reads: that of an int.
const MOST: u32 = i32::MAX.unsigned_abs();

/// The words of a text as HAProxy reads it: quotes and backslashes keep blanks in a word (and stay in it); a comment ends it.
pub fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_escaped) = (Vec::new(), String::new(), None, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote != Some('\'') => is_escaped = true,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            '#' if quote.is_none() => break,
            _ if quote.is_none() && (c.is_whitespace() || c.is_control()) => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
                continue;
            }
            _ => {}
        }
        word.push(if c.is_control() { ' ' } else { c });
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// What words of a catalog stand in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    /// The settings' words for the same servers.
    pub(crate) words: &'a str,
    /// The HAProxy that reads them; None: any from 1.5 on.
    pub(crate) target: Option<Version>,
}

/// Whether a catalog may say it; else why not, for people. Without `around` every known word is allowed, whatever its value
/// refers to and whoever knows it.
pub(crate) fn check(text: &str, around: Option<Around<'_>>) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _:.-/,()=+@%*!~[]".contains(c);
    if text.len() > CATALOG_BYTES || !text.chars().all(is_plain) {
        return Err("its options are too long or hold a sign that is not allowed there".into());
    }
    let all: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
    if all.len() > CATALOG_WORDS {
        return Err(format!("its options have more than {CATALOG_WORDS} words"));
    }
    let mut words = all.iter().copied();
    while let Some(word) = words.next() {
        let is_right = match follows(word) {
            None => return Err(format!("{word:?} is no option of a server that is known")),
            Some(Follows::Nothing) => true,
            Some(Follows::Number) => words.next().is_some_and(|next| is_number(word, next)),
            Some(Follows::Time) => words.next().is_some_and(is_time),
            Some(Follows::Word) => words.next().is_some_and(|next| is_choice(word, next)),
        };
        if !is_right {
            return Err(format!("the option {word:?} has no value, or a wrong one"));
        }
        if let (Some(around), Some(since)) = (around, since(word))
            && around.target.is_none_or(|target| target < since)
        {
            let target = around.target.map_or("and its version is not known".into(), |target| format!("and this is {target}"));
            return Err(format!("the option {word:?} needs HAProxy {}.{}, {target}", since.major, since.minor));
        }
    }
    let Some(around) = around else { return Ok(()) };
    let is_elsewhere = |word: &&str| ELSEWHERE.contains(word);
    if let Some(word) = all.iter().find(|word| is_elsewhere(word)) {
        return Err(format!("the option {word:?} is for settings, not for a catalog"));
    }
    let around = around.words;
    let has = |word: &str| all.contains(&word);
    let needs = [
        (has("agent-check"), has("agent-port") || around.contains("agent-port"), "agent-port"),
        (has("ssl") || has("check-ssl"), has("verify") || around.contains("verify") || around.contains("ca-file"), "verify none"),
        (has("required"), around.contains("ca-file"), "a ca-file in the settings"),
    ];
    match needs.into_iter().find(|(is_asked, is_there, _)| *is_asked && !is_there) {
        Some((_, _, missing)) => Err(format!("its options need {missing}")),
        None => Ok(()),
    }
}

/// Whether HAProxy takes this number after `word`.
fn is_number(word: &str, text: &str) -> bool {
    let range = match word {
        "weight" => 0..=HEAVIEST,
        "port" | "agent-port" => 1..=u32::from(u16::MAX),
        "id" | "rise" | "fall" | "error-limit" => 1..=MOST,
        _ => 0..=MOST,
    };
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|number| range.contains(&number))
}

/// Whether HAProxy takes it as a time: it counts milliseconds in an int, and refuses 0.
fn is_time(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let milliseconds = match &text[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return false,
    };
    let number = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number.is_some_and(|number| number > 0 && u64::from(number) * milliseconds <= u64::from(MOST))
}

/// Whether HAProxy takes this word after `word`.
fn is_choice(word: &str, text: &str) -> bool {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let choices: &[&str] = match word {
        // It takes the end of an IPv6 address for a port.
        "addr" | "agent-addr" => return text.parse::<Ipv4Addr>().is_ok(),
        // Each once: it takes one address, and few ways.
        "init-addr" => {
            let kind = |way| if is_address(way) { "address" } else { way };
            let is_known = |kind: &str| ["address", "last", "libc", "none"].contains(&kind);
            let mut kinds = BTreeSet::new();
            return text.split(',').map(kind).all(|kind| is_known(kind) && kinds.insert(kind));
        }
        "alpn" | "check-alpn" => return text.split(',').all(|name| ["h2", "http/1.0", "http/1.1"].contains(&name)),
        "observe" => &["layer4", "layer7"],
        "on-error" => &["fastinter", "fail-check", "sudden-death", "mark-down"],
        "on-marked-down" => &["shutdown-sessions"],
        "on-marked-up" => &["shutdown-backup-sessions"],
        "resolve-prefer" => &["ipv4", "ipv6"],
        "ssl-max-ver" | "ssl-min-ver" => &["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"],
        "verify" => &["none", "required"],
        "ws" => &["auto", "h1", "h2"],
        _ => return true,
    };
    choices.contains(&text)
}

/// Takes each `key` and its value (if it has one) out of words; the values, in order.
pub(crate) fn take(words: &mut Vec<String>, key: &str) -> Vec<String> {
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    let mut rest = std::mem::take(words).into_iter();
    while let Some(word) = rest.next() {
        let has_value = follows(&word).is_some_and(|follows| follows != Follows::Nothing);
        let value = has_value.then(|| rest.next()).flatten();
        if word == key {
            taken.push(value.unwrap_or_default());
        } else {
            kept.push(word);
            kept.extend(value);
        }
    }
    *words = kept;
    taken
}

/// `%{host}`, `%{port}`, `%{name}` and `%%` replaced, nothing else.
pub(crate) fn fill(text: &str, host: &str, port: u16, name: &str) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('%') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let port = port.to_string();
        let of = [("%%", "%"), ("%{host}", host), ("%{port}", &port), ("%{name}", name), ("%", "%")];
        for (key, value) in of {
            if let Some(after) = rest.strip_prefix(key) {
                filled.push_str(value);
                rest = after;
                break;
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str, target: Option<Version>) -> Option<Around<'_>> {
        Some(Around { words, target })
    }

    #[test]
    fn words_are_those_of_haproxy() {
        assert_eq!(split("check  inter 5s # no"), ["check", "inter", "5s"]);
        assert_eq!(split(r#"check-sni "a b" x\ y 'c#"d' "#), ["check-sni", r#""a b""#, r"x\ y", r#"'c#"d'"#]);
        assert_eq!(split("a\nserver\0b"), ["a", "server", "b"]);
    }

    #[test]
    fn a_catalog_says_only_what_is_known() {
        for text in
            ["", "check", "backup weight 5 inter 500ms", "ssl verify none check-sni h", "inter 2000 cookie a addr 10.0.0.1"]
        {
            assert_eq!(check(text, of("", Some(Version::new(2, 0)))), Ok(()), "{text}");
        }
        let wrong = [
            "check\nbackend x",
            "check # x",
            "\"",
            "a\\ b",
            "$HOME",
            "chekc",
            "weight",
            "weight x",
            "inter 5x",
            "inter",
            "cookie",
            "weight 99999999999",
            "inter 9999999d",
            "inter 0",
            "weight 257",
            "rise 0",
            "port 65536",
            "observe x",
            "addr h",
            "addr ::1",
            "alpn h2,",
            "init-addr 10.0.0.1,10.0.0.2",
        ];
        for text in wrong {
            assert!(check(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_catalog_does_not_refer_to_other_things() {
        for (text, around, want) in [
            ("ca-file /x", "", false),
            ("sni req.hdr(host)", "", false),
            ("ssl", "", false),
            ("ssl", "verify none", true),
            ("ssl verify required", "", false),
            ("ssl verify required", "ca-file /x", true),
            ("agent-check", "", false),
            ("agent-check agent-port 5", "", true),
        ] {
            assert_eq!(check(text, of(around, None)).is_ok(), want, "{text}");
            assert_eq!(check(text, None), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_catalog_does_not_decide_about_versions_of_tls() {
        let newest = Some(Version::new(99, 0));
        for words in ["force-sslv3", "no-sslv3 no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13", "ssl-max-ver SSLv3", "npn h2", "tfo"] {
            let why = check(&format!("ssl verify none {words}"), of("", newest)).unwrap_err();
            assert!(why.ends_with("is for settings, not for a catalog"), "{why}");
        }
    }

    #[test]
    fn a_catalog_says_what_the_running_release_knows() {
        for (text, first) in
            [("ws h2", Version::new(2, 6)), ("max-reuse 5", Version::new(2, 0)), ("no-check", Version::new(1, 8))]
        {
            assert_eq!(check(text, of("", Some(first))), Ok(()), "{text}");
            for target in [None, Some(Version::new(1, 5)), Some(Version::new(first.major, first.minor.saturating_sub(1)))] {
                assert_eq!(check(text, of("", target)).is_ok(), target == Some(first), "{text} {target:?}");
            }
        }
        assert_eq!(check("cookie ws", of("", None)), Ok(()), "a value");
        let why = check("ws h1", of("", Some(Version::new(2, 4)))).unwrap_err();
        assert_eq!(why, "the option \"ws\" needs HAProxy 2.6, and this is 2.4.0");
    }

    #[test]
    fn options_of_a_catalog_are_bounded() {
        assert_eq!(check(&"backup ".repeat(CATALOG_WORDS), None), Ok(()));
        assert!(check(&"backup ".repeat(CATALOG_WORDS + 1), None).is_err());
        let of = |bytes: usize| format!("cookie {}", "x".repeat(bytes - 7));
        assert!(check(&of(CATALOG_BYTES), None).is_ok() && check(&of(CATALOG_BYTES + 1), None).is_err());
    }

    #[test]
    fn words_are_taken_with_their_values_only() {
        let mut words = split("cookie weight weight 5 check weight 7 backup");
        assert_eq!(take(&mut words, "weight"), ["5", "7"]);
        assert_eq!(take(&mut words, "backup"), [""]);
        assert_eq!(words.join(" "), "cookie weight check");
    }

    #[test]
    fn three_templates_and_no_more() {
        assert_eq!(fill("%{host}:%{port} %{name} %% %{x} 5%", "h", 1, "%{port}"), "h:1 %{port} % %{x} 5%");
    }
}
