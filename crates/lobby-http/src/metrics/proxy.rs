//! What the local proxy has come to, as metrics. Decides how many services are told apart.
//!
//! Not here: the counting (the proxy, which this crate does not know).

use lobby_core::stats::{ProxyBackends, ProxyCounts, ProxyOutput};

use super::text::{Kind, Kind::Counter, Kind::Gauge, Text};

/// Services with numbers of their own; the rest is one number. With four gauges each it is as much as a page of metrics should
/// grow by, and beyond what one host proxies.
const MOST_SERVICES: usize = 256;

/// Kinds of commands and reasons of reloads, of which there are about a dozen.
const MOST_KINDS: usize = 32;

/// What the rest is called, which no service can be: a slash is no character of its name.
const REST: &str = "other/";

pub(super) fn write(text: &mut Text, counts: &ProxyCounts) {
    text.family("lobby_proxy_services", Gauge, "Services that the local proxy serves.").value(counts.services);
    text.family("lobby_proxy_unanswered", Gauge, "Those of them whose source has not answered yet.").value(counts.unanswered);
    backends(text, &counts.backends);
    outputs(text, &counts.outputs);
    let mut family =
        text.family("lobby_proxy_reload_reasons_total", Counter, "Reloads by reason; one reload may have several reasons.");
    for (output, counts) in &counts.outputs {
        for (reason, n) in counts.reload_reasons.iter().take(MOST_KINDS) {
            family.sample(&[("output", output), ("reason", reason)], n);
        }
    }
    let mut family =
        text.family("lobby_proxy_commands_total", Counter, "Commands over HAProxy's socket: each a change without a reload.");
    for (kind, n) in counts.commands.iter().take(MOST_KINDS) {
        family.sample(&[("kind", kind)], n);
    }
    text.family("lobby_proxy_commands_failed_total", Counter, "Commands over HAProxy's socket that were refused or lost.")
        .value(counts.commands_failed);
    text.family("lobby_proxy_socket_failures_total", Counter, "Reads of HAProxy's socket that failed.")
        .value(counts.socket_failures);
    text.family("lobby_proxy_repaired_total", Counter, "Commands that mended what somebody else had changed in HAProxy.")
        .value(counts.repaired);
    text.family("lobby_proxy_managed_starts_total", Counter, "Starts of a managed HAProxy.").value(counts.starts);
    text.family("lobby_proxy_managed_crashes_total", Counter, "Ends of a managed HAProxy that nobody asked for.")
        .value(counts.crashes);
}

fn backends(text: &mut Text, all: &[ProxyBackends]) {
    let (shown, rest) = all.split_at(all.len().min(MOST_SERVICES));
    let mut each = |name, help, read: fn(&ProxyBackends) -> u64| {
        let mut family = text.family(name, Gauge, help);
        for backends in shown {
            family.sample(&[("service", &backends.name)], read(backends));
        }
        if !rest.is_empty() {
            family.sample(&[("service", REST)], rest.iter().map(read).sum::<u64>());
        }
    };
    each("lobby_proxy_backends_wanted", "Backends that should take traffic.", |backends| backends.wanted);
    each("lobby_proxy_backends_up", "Backends that do.", |backends| backends.up);
    each("lobby_proxy_backends_draining", "Backends that finish what they have.", |backends| backends.draining);
    each("lobby_proxy_backends_held", "Backends kept although contact with their node is lost.", |backends| backends.held);
}

fn outputs(text: &mut Text, all: &[(&'static str, ProxyOutput)]) {
    let mut each = |name, kind: Kind, help, read: fn(&ProxyOutput) -> u64| {
        let mut family = text.family(name, kind, help);
        for (output, counts) in all {
            family.sample(&[("output", output)], read(counts));
        }
    };
    each("lobby_proxy_in_step", Gauge, "1 while files and process are as they should be.", |of| u64::from(of.is_in_step));
    each("lobby_proxy_writes_total", Counter, "Files put in place.", |of| of.writes);
    each("lobby_proxy_writes_failed_total", Counter, "Files that could not be written.", |of| of.writes_failed);
    each("lobby_proxy_checks_failed_total", Counter, "Files that their check did not take.", |of| of.checks_failed);
    each("lobby_proxy_reloads_total", Counter, "Reloads that were done.", |of| of.reloads);
    each("lobby_proxy_reloads_failed_total", Counter, "Reloads that failed; they are tried again.", |of| of.reloads_failed);
}
