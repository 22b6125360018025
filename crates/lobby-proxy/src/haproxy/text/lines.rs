//! The lines of a service's sections. Decides which of the settings' lines stand there, and what they mean for its servers.

use std::collections::BTreeMap;

use super::{
    super::{
        keyword::{Side, side},
        plan::is_slot,
        version::Version,
        words,
    },
    document::{Warnings, clean, shown},
};

/// Lines that HAProxy 1.6 let stand in a backend, where Synapse therefore still writes them.
const ONCE_BOTH: [&str; 3] = ["option httplog", "option tcplog", "log-format"];

/// How many servers of one template are told from ours: more than any program resolves addresses to.
const TEMPLATE: usize = 4096;

/// What a backend's lines mean for its servers.
#[derive(Debug)]
pub(super) struct Facts {
    /// A cookie stands on each server's line.
    pub(super) writes_cookies: bool,
    pub(super) has_cookies: bool,
    pub(super) is_dynamic: bool,
    pub(super) keeps_trying: bool,
    pub(super) server_defaults: String,
    /// Servers that the lines bring, with their ids if they say them.
    pub(super) foreign: BTreeMap<String, Option<u32>>,
    /// Words of those of them that stand by.
    pub(super) slot_options: String,
}

impl Facts {
    pub(super) fn of(lines: &[String], defaults: &[String], is_synapse: bool) -> Self {
        let has_cookies = mode(lines, defaults) == "http" && last(lines, defaults, "cookie").is_some();
        // Synapse looks for this very line.
        let writes_cookies = if is_synapse { lines.iter().all(|line| line != "mode tcp") } else { has_cookies };
        let words: Vec<_> = defaults.iter().chain(lines).filter_map(|line| value(line, "default-server")).collect();
        Self {
            writes_cookies,
            has_cookies,
            is_dynamic: is_dynamic(lines, defaults),
            keeps_trying: !redispatches(lines, defaults),
            server_defaults: words.join(" "),
            foreign: lines.iter().flat_map(|line| foreign(line)).collect(),
            slot_options: lines.iter().find_map(|line| slot_options(line)).unwrap_or_default(),
        }
    }
}

/// What follows the address of servers that stand by.
fn slot_options(line: &str) -> Option<String> {
    let words = words::split(line);
    let n_before = if words.first()? == "server-template" { 4 } else { 3 };
    let is_slots = foreign(line).iter().any(|(name, _)| is_slot(name));
    is_slots.then(|| words.get(n_before..).unwrap_or_default().join(" "))
}

/// The servers that one line brings: `server NAME …`, or `server-template NAME N …` and `… FROM-TO …`.
pub(super) fn foreign(line: &str) -> Vec<(String, Option<u32>)> {
    let mut words = words::split(line);
    let ids = words::take(&mut words, "id");
    match words.as_slice() {
        [kind, name, ..] if kind == "server" => vec![(name.clone(), ids.last().and_then(|id| id.parse().ok()))],
        [kind, name, range, ..] if kind == "server-template" => {
            let (from, to) = range.split_once('-').unwrap_or(("1", range));
            let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) else { return Vec::new() };
            (from..=to).take(TEMPLATE).map(|n| (format!("{name}{n}"), None)).collect()
        }
        _ => Vec::new(),
    }
}

/// Each line of a list, without blanks around it; a text of several lines is several lines.
pub(super) fn of(texts: &[String]) -> Vec<String> {
    texts.iter().flat_map(|text| text.split(['\n', '\r'])).map(clean).filter(|line| !line.is_empty()).collect()
}

/// Lines of our own `global` for a version; as long as that is not known, for 1.5.
pub(super) fn known(lines: &[String], target: Option<Version>) -> Vec<String> {
    const HARD_STOP: &str = "hard-stop-after ";
    const EXPOSE: &str = " expose-fd listeners";
    let lines = of(lines).into_iter();
    match target.is_some_and(Version::has_hand_over) {
        true => lines.collect(),
        false => lines.filter(|line| !line.starts_with(HARD_STOP)).map(|line| line.replace(EXPOSE, "")).collect(),
    }
}

/// The lines of a frontend or backend: its own, then those of `listen` that may stand in it.
pub(super) fn lines(
    service: &str,
    own: &[String],
    listen: &[String],
    is_frontend: bool,
    is_synapse: bool,
    warnings: &mut Warnings,
) -> Vec<String> {
    let section = if is_frontend { "frontend" } else { "backend" };
    let mut lines = of(own);
    lines.retain(|line| {
        let (is_kept, why) = match side(line) {
            _ if line.starts_with('#') => return true,
            Side::Section => (false, "begins another section, left out"),
            Side::Front if !is_frontend && !was_both(line, is_synapse) => (false, "is for frontends, left out"),
            Side::Back if is_frontend => (false, "is for backends, left out"),
            Side::Unknown => (true, "begins with an unknown keyword"),
            Side::Front | Side::Back | Side::Both | Side::Once => return true,
        };
        warnings.push(format!("service {}: the line {} of its {section} {why}", shown(service), shown(line)));
        is_kept
    });
    let fits = |line: &String| {
        let side = side(line);
        if is_frontend { side.is_for_frontend() } else { side.is_for_backend() || was_both(line, is_synapse) }
    };
    lines.extend(of(listen).into_iter().filter(fits));
    lines
}

/// The lines of `listen` that fit nowhere.
pub(super) fn homeless(listen: &[String]) -> Vec<String> {
    let fits = |line: &str| side(line).is_for_frontend() || side(line).is_for_backend();
    of(listen).into_iter().filter(|line| !line.starts_with('#') && !fits(line)).collect()
}

fn was_both(line: &str, is_synapse: bool) -> bool {
    is_synapse && ONCE_BOTH.iter().any(|known| line.starts_with(known))
}

/// What stands after `keyword`, if the line begins with it.
fn value<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(keyword)?;
    let is_word = rest.is_empty() || rest.starts_with(char::is_whitespace);
    // A comment says nothing.
    is_word.then(|| rest.split(" #").next().unwrap_or(rest).trim())
}

/// The value that holds: the last of the section, else the last of defaults.
fn last<'a>(lines: &'a [String], defaults: &'a [String], keyword: &str) -> Option<&'a str> {
    lines.iter().rev().chain(defaults.iter().rev()).find_map(|line| value(line, keyword))
}

/// The mode that holds; HAProxy's own is tcp.
pub(super) fn mode<'a>(lines: &'a [String], defaults: &'a [String]) -> &'a str {
    last(lines, defaults, "mode").unwrap_or("tcp")
}

/// Whether a client that cannot connect goes to another server; HAProxy's own is that it does not.
fn redispatches(lines: &[String], defaults: &[String]) -> bool {
    let says = |line: &String| {
        let line = line.trim_start();
        let (line, says) = line.strip_prefix("no ").map_or((line, true), |line| (line, false));
        value(line, "option redispatch").map(|_| says)
    };
    lines.iter().rev().chain(defaults.iter().rev()).find_map(says).unwrap_or_default()
}

/// Whether servers can be added at run time: not to `static-rr`, nor to a hash that is not consistent.
fn is_dynamic(lines: &[String], defaults: &[String]) -> bool {
    let balance = last(lines, defaults, "balance").unwrap_or("roundrobin");
    let algorithm = balance.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    match algorithm {
        "roundrobin" | "leastconn" | "first" | "random" => true,
        "source" | "uri" | "url_param" | "hdr" | "rdp-cookie" | "hash" => {
            last(lines, defaults, "hash-type").is_some_and(|kind| kind.split_whitespace().next() == Some("consistent"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_servers_that_stand_by_have_is_on_their_line() {
        let options = |line: &str| Facts::of(&list(&["server a 1.1.1.1:1 ssl", line]), &[], false).slot_options;
        assert_eq!(options("server-template slot 2-9 127.0.0.1:1 check send-proxy disabled"), "check send-proxy disabled");
        assert_eq!(options("server slot1 127.0.0.1:1 check"), "check");
        assert_eq!(options("server slots 127.0.0.1:1 check") + &options("server-template slot 3"), "");
    }

    #[test]
    fn lines_of_listen_go_where_they_fit() {
        let listen =
            list(&["mode http", "balance source", "timeout client 1m", "option httplog", "what is this", "# note", "id 7"]);
        let mut warnings = Warnings::default();
        let mut of = |is_frontend, is_synapse| lines("s", &[], &listen, is_frontend, is_synapse, &mut warnings);
        assert_eq!(of(true, false), ["mode http", "timeout client 1m", "option httplog"]);
        assert_eq!(of(false, false), ["mode http", "balance source", "id 7"]);
        assert_eq!(of(false, true), ["mode http", "balance source", "option httplog", "id 7"]);
        assert_eq!(homeless(&listen), ["what is this"]);
    }

    #[test]
    fn own_lines_at_the_wrong_place_are_named() {
        let mut warnings = Warnings::default();
        let own = list(&["balance source", "brand-new 1\nmode tcp", "  listen evil", "# note"]);
        assert_eq!(lines("s", &own, &[], true, false, &mut warnings), ["brand-new 1", "mode tcp", "# note"]);
        assert_eq!(warnings.finish().len(), 3);
    }

    #[test]
    fn balancing_decides_about_servers_at_run_time() {
        for (lines, defaults, want) in [
            (&["balance leastconn"][..], &["balance static-rr"][..], true),
            (&[], &["balance static-rr"], false),
            (&[], &[], true),
            (&["balance hdr(X-User)"], &[], false),
            (&["balance hdr(X-User)"], &["hash-type consistent sdbm"], true),
            (&["balance url_param x", "hash-type map-based"], &["hash-type consistent"], false),
            (&["balance random(2)"], &[], true),
        ] {
            assert_eq!(is_dynamic(&list(lines), &list(defaults)), want, "{lines:?}");
        }
    }

    #[test]
    fn servers_of_the_settings_are_known() {
        let lines = list(&[
            "server a 10.0.0.1:80 check id 7",
            "server-template t 2-3 h:80",
            "server-template u 1 h:80",
            "use-server a if x",
        ]);
        let foreign: Vec<_> = Facts::of(&lines, &[], false).foreign.into_iter().collect();
        assert_eq!(foreign, [("a".into(), Some(7)), ("t2".into(), None), ("t3".into(), None), ("u1".into(), None)]);
        assert_eq!(foreign_of_a_template("1-99999999"), TEMPLATE);
    }

    fn foreign_of_a_template(range: &str) -> usize {
        foreign(&format!("server-template x {range} h:80")).len()
    }

    #[test]
    fn who_cannot_connect_goes_elsewhere_only_if_the_lines_say_so() {
        let keeps_trying = |lines: &[&str], defaults: &[&str]| Facts::of(&list(lines), &list(defaults), false).keeps_trying;
        assert!(keeps_trying(&[], &["mode http"]));
        assert!(!keeps_trying(&[], &["option redispatch"]) && !keeps_trying(&["option redispatch 1 # at once"], &[]));
        assert!(keeps_trying(&["no option redispatch"], &["option redispatch"]));
    }

    #[test]
    fn facts_are_those_that_hold() {
        let defaults = list(&["mode tcp", "default-server inter 2s", "cookie SRV insert"]);
        let facts = Facts::of(&list(&["mode http # not tcp", "default-server fall 2"]), &defaults, false);
        assert!(facts.has_cookies && facts.writes_cookies);
        assert_eq!(facts.server_defaults, "inter 2s fall 2");
        assert!(!Facts::of(&[], &defaults, false).has_cookies, "tcp");
        assert!(Facts::of(&[], &defaults, true).writes_cookies, "no `mode tcp` in the backend itself");
        assert!(!Facts::of(&list(&["mode tcp"]), &defaults, true).writes_cookies);
    }
}
