//! The words of a server's line as the socket takes them. Decides which are sent, which are left out because they mean nothing
//! there, and which make a reload necessary.

use super::Why;
use crate::haproxy::{Backend, Server, socket::COMMAND_BYTES, version::Version};

/// HAProxy's own default.
const DEFAULT_WEIGHT: u32 = 1;

/// Words that decide how one speaks to a server: without them it would not understand, or everybody could read it.
const SPEAKS: [&str; 8] =
    ["ssl", "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "socks4", "proto", "check-ssl"];

/// One that stands by speaks as the server does. What else differs (how it is checked, how many requests it takes) is right
/// again after the next reload.
pub(super) fn speaks_alike(backend: &Backend, server: &Server) -> bool {
    let of = |options: &str| {
        let words = backend.server_defaults.split_whitespace().chain(options.split_whitespace()).collect::<Vec<_>>();
        let is_said = |word: &&&str| match **word {
            "ssl" => words.iter().rev().find(|word| ["ssl", "no-ssl"].contains(*word)) == Some(&"ssl"),
            word => words.contains(&word),
        };
        SPEAKS.iter().filter(is_said).collect::<Vec<_>>()
    };
    of(&server.options) == of(&backend.slot_options)
}

/// What follows the address on `add server`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) has_check: bool,
    pub(super) has_agent: bool,
}

impl Words {
    pub(super) fn new(backend: &Backend, server: &Server, version: Version) -> Result<Self, Why> {
        let names = [&backend.name, &server.name, &server.host];
        if !names.iter().all(|name| !name.is_empty() && name.chars().all(is_plain)) {
            return Err(Why::Words);
        }
        let has_check = has_word(backend, server, "check", "no-check");
        let has_agent = has_word(backend, server, "agent-check", "no-agent-check");
        let mut words = Vec::new();
        let mut all = all(backend, server);
        while let Some(word) = all.next() {
            match word {
                // A server that is added rests until it is told otherwise; with `enabled` balancing would not learn of it.
                "enabled" | "disabled" | "no-check" | "no-agent-check" | "backup" => {}
                "check" if !has_check => {}
                "agent-check" if !has_agent => {}
                // Names are looked up here.
                "init-addr" => drop(all.next()),
                "weight" if server.weight.is_some() => drop(all.next()),
                "id" => drop(all.next()),
                "cookie" if !backend.has_cookies => drop(all.next()),
                "cookie" if !version.has_dynamic_cookie() => return Err(Why::Cookie),
                "cookie" if server.cookie.is_some() => drop(all.next()),
                word => words.push(word.to_owned()),
            }
        }
        if is_backup(backend, server) {
            words.push("backup".into());
        }
        if let Some(weight) = server.weight {
            words.push(format!("weight {weight}"));
        }
        if let Some(id) = server.id {
            words.push(format!("id {id}"));
        }
        match &server.cookie {
            Some(cookie) if backend.has_cookies && version.has_dynamic_cookie() => words.push(format!("cookie {cookie}")),
            Some(_) if backend.has_cookies => return Err(Why::Cookie),
            _ => {}
        }
        let text = words.join(" ");
        // Names and the command take far less than the other half.
        if text.len() > COMMAND_BYTES / 2 || !text.chars().all(|c| is_plain(c) || c == ' ') {
            return Err(Why::Words);
        }
        Ok(Self { text, has_check, has_agent })
    }
}

/// What a line may have that the socket does not understand as the file does, or that would end the command there.
fn is_plain(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\' | '$' | '#' | ';' | '<')
}

fn all<'a>(backend: &'a Backend, server: &'a Server) -> impl Iterator<Item = &'a str> {
    backend.server_defaults.split_whitespace().chain(server.options.split_whitespace())
}

fn has_word(backend: &Backend, server: &Server, yes: &str, no: &str) -> bool {
    all(backend, server).fold(false, |has, word| (has || word == yes) && word != no)
}

/// It takes traffic only when no other does, whoever says so.
pub(super) fn is_backup(backend: &Backend, server: &Server) -> bool {
    server.is_backup || has_word(backend, server, "backup", "no-backup")
}

/// Whether somebody checks it.
pub(super) fn has_check(backend: &Backend, server: &Server) -> bool {
    has_word(backend, server, "check", "no-check")
}

/// What its weight should be; None: its agent decides.
pub(super) fn weight(backend: &Backend, server: &Server) -> Option<u32> {
    if has_word(backend, server, "agent-check", "no-agent-check") {
        return None;
    }
    let said = all(backend, server).zip(all(backend, server).skip(1)).filter(|(word, _)| *word == "weight");
    let said = said.filter_map(|(_, weight)| weight.parse().ok()).last();
    Some(server.weight.or(said).unwrap_or(DEFAULT_WEIGHT))
}
