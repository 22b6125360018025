//! Our own metrics in Prometheus' text form.
//!
//! ```text
//! GET /metrics
//! ```
//! Everything is read from atomics and one snapshot at the time of the request; nothing is kept here.
//! Not here: the counting (`counters`, `lobby_core::stats`), the text form (`metrics::text`).

use std::sync::atomic::Ordering::Relaxed;

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use lobby_core::{
    catalog::NodeState,
    port::LinkState,
    stats::{AgentStats, Culprits, Stats},
};

use crate::{App, View, health};

mod dns;
mod process;
mod proxy;
mod registry;
mod template;
mod text;

use text::{Kind::Counter, Kind::Gauge, Text};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

pub(crate) async fn metrics(State(app): State<App>, Extension(view): Extension<View>) -> Response {
    let mut text = Text::default();
    build(&mut text, &app);
    catalog(&mut text, &view);
    links(&mut text, &view);
    exchanges(&mut text, &app);
    agent(&mut text, &app.state.handles.agent);
    text.family("lobby_user_events_total", Counter, "User events for this node that were taken in.")
        .value(app.state.handles.gossip.events().n_seen);
    registry::write(&mut text, &app.state.handles.registry);
    if let Some(templates) = &app.state.handles.templates {
        template::write(&mut text, &templates());
    }
    if let Some(dns) = &app.state.handles.dns {
        dns::write(&mut text, &dns());
    }
    if let Some(counts) = &app.state.handles.proxy_counts {
        proxy::write(&mut text, &counts());
    }
    http(&mut text, &app);
    process::write(&mut text);
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], text.finish()).into_response()
}

fn build(text: &mut Text, app: &App) {
    let mut family = text.family("lobby_build_info", Gauge, "The running version; always 1.");
    family.sample(&[("version", &app.config().version)], 1);
}

fn catalog(text: &mut Text, view: &View) {
    let snapshot = &view.snapshot;
    text.family("lobby_revision", Gauge, "Rises with each change of lists or services.").value(snapshot.revision.0);
    text.family("lobby_warm", Gauge, "1 once the first complete picture has arrived.").value(u8::from(snapshot.warm));
    text.family("lobby_age_seconds", Gauge, "Seconds since the picture was last complete; 0 while it is.")
        .value(snapshot.age(view.now).as_secs_f64());
    text.family("lobby_hosts", Gauge, "Host names that lists show.").value(snapshot.hosts.len());
    let mut counts = [[0_u32; 2]; NodeState::ALL.len()];
    for node in snapshot.nodes.values() {
        counts[node.state as usize][usize::from(node.record.origin.node_id().is_none())] += 1;
    }
    let mut family =
        text.family("lobby_nodes", Gauge, "Nodes in the catalog, by state, and whether they told an id or only a name.");
    for state in NodeState::ALL {
        for (kind, count) in ["id", "bare"].into_iter().zip(counts[*state as usize]) {
            family.sample(&[("state", state.as_str()), ("kind", kind)], count);
        }
    }
}

fn links(text: &mut Text, view: &View) {
    let links = &view.snapshot.links;
    let mut family = text.family("lobby_exchange_link", Gauge, "1 for the state that the exchange's link is in.");
    let down = LinkState::Down { why: "".into() };
    for link in &**links {
        for state in [&LinkState::Connecting, &LinkState::Up, &down].map(health::state) {
            family.sample(&[("exchange", &link.name), ("state", state)], u8::from(state == health::state(&link.state)));
        }
    }
    let mut family = text.family("lobby_exchange_warm", Gauge, "1 once the exchange's first complete picture has arrived.");
    for link in &**links {
        family.sample(&[("exchange", &link.name)], u8::from(link.warm));
    }
    let mut family =
        text.family("lobby_exchange_given_up", Gauge, "1 when the exchange was not warm in time and no longer counts.");
    for link in &**links {
        family.sample(&[("exchange", &link.name)], u8::from(link.given_up));
    }
    let mut family =
        text.family("lobby_hold_nodes", Gauge, "Failed nodes whose services are shown as before, because most failed at once.");
    for link in &**links {
        family.sample(&[("exchange", &link.name)], link.held);
    }
}

fn exchanges(text: &mut Text, app: &App) {
    let exchanges = &app.state.handles.exchanges;
    let mut family = text.family("lobby_packets_received_total", Counter, "Packets received, by kind and what became of them.");
    for (name, stats) in exchanges {
        for (kind, verdict, count) in stats.received_counts() {
            family.sample(&[("exchange", name), ("kind", kind.as_str()), ("verdict", verdict.as_str())], count);
        }
    }
    let mut family = text.family("lobby_packets_sent_total", Counter, "Packets sent, by kind and what became of them.");
    for (name, stats) in exchanges {
        for (kind, verdict, count) in stats.sent_counts() {
            family.sample(&[("exchange", name), ("kind", kind.as_str()), ("verdict", verdict.as_str())], count);
        }
    }
    let mut blamed = |name, help, of: fn(&Stats) -> &Culprits| {
        let mut family = text.family(name, Counter, help);
        for (exchange, stats) in exchanges {
            let culprits = of(stats);
            for (from, count) in culprits.counts() {
                family.sample(&[("exchange", exchange), ("from", &from.to_string())], count);
            }
            if culprits.others() > 0 {
                family.sample(&[("exchange", exchange), ("from", "others")], culprits.others());
            }
        }
    };
    let help = "Records that their owners did not write, by who delivered them.";
    blamed("lobby_forged_records_total", help, |stats| &stats.forged);
    let help = "Events and queries absurdly far ahead in time, by who delivered them.";
    blamed("lobby_refused_posts_total", help, |stats| &stats.refused_posts);
    let mut each = |name, kind, help, read: fn(&Stats) -> u64| {
        let mut family = text.family(name, kind, help);
        for (exchange, stats) in exchanges {
            family.sample(&[("exchange", exchange)], read(stats));
        }
    };
    each("lobby_received_bytes_total", Counter, "Bytes of received packets.", |stats| stats.bytes().0);
    each("lobby_sent_bytes_total", Counter, "Bytes of sent packets.", |stats| stats.bytes().1);
    each("lobby_reconnects_total", Counter, "Connections lost and tried again.", Stats::reconnects);
    let mut queues = |name, help, read: fn((u64, u64)) -> u64| {
        let mut family = text.family(name, Gauge, help);
        for (exchange, stats) in exchanges {
            for (queue, depth, bound) in stats.depths() {
                family.sample(&[("exchange", exchange), ("queue", queue.as_str())], read((depth, bound)));
            }
        }
    };
    queues("lobby_queue_depth", "How full a queue is.", |(depth, _)| depth);
    queues("lobby_queue_bound", "How full a queue may be.", |(_, bound)| bound);
}

fn agent(text: &mut Text, stats: &AgentStats) {
    let seconds = |micros: u64| micros as f64 / 1e6;
    text.family("lobby_loop_turn_seconds", Gauge, "How long the last turn of the node task took.")
        .value(seconds(stats.last_turn_us.load(Relaxed)));
    text.family("lobby_loop_longest_turn_seconds", Gauge, "How long the longest turn of the node task took.")
        .value(seconds(stats.longest_turn_us.load(Relaxed)));
    text.family("lobby_loop_lag_seconds", Gauge, "How late the node task noticed its last deadline.")
        .value(seconds(stats.last_lag_us.load(Relaxed)));
    text.family("lobby_loop_longest_lag_seconds", Gauge, "How late the node task noticed a deadline, the worst so far.")
        .value(seconds(stats.longest_lag_us.load(Relaxed)));
    text.family("lobby_events_stale_total", Counter, "Events of exchanges that brought nothing new.")
        .value(stats.events_stale.load(Relaxed));
    text.family("lobby_events_refused_total", Counter, "Events refused because the catalog is full.")
        .value(stats.events_refused.load(Relaxed));
    text.family("lobby_own_conflicts_total", Counter, "Records under our own id that we did not make.")
        .value(stats.own_conflicts.load(Relaxed));
    text.family("lobby_holds_total", Counter, "Holds started: an exchange was doubted because most of its nodes fell silent.")
        .value(stats.holds.load(Relaxed));
    text.family("lobby_labels_refused", Gauge, "Labels of files and environment refused at the last reading.")
        .value(stats.labels_refused.load(Relaxed));
    let mut family = text.family("lobby_hook_runs_total", Counter, "Ended runs of CALLBACK and hooks, by result.");
    family.sample(&[("result", "succeeded")], stats.hooks_succeeded.load(Relaxed));
    family.sample(&[("result", "failed")], stats.hooks_failed.load(Relaxed));
    family.sample(&[("result", "timed_out")], stats.hooks_timed_out.load(Relaxed));
    let mut family = text.family("lobby_handler_runs_total", Counter, "Ended runs of event handlers, by result.");
    family.sample(&[("result", "succeeded")], stats.handlers_succeeded.load(Relaxed));
    family.sample(&[("result", "failed")], stats.handlers_failed.load(Relaxed));
    family.sample(&[("result", "timed_out")], stats.handlers_timed_out.load(Relaxed));
    let mut family = text.family("lobby_handler_dropped_total", Counter, "What a busy handler did not get to in time.");
    family.sample(&[("what", "event")], stats.handlers_events_dropped.load(Relaxed));
    family.sample(&[("what", "query")], stats.handlers_queries_dropped.load(Relaxed));
    text.family("lobby_catalog_saves_failed_total", Counter, "Times that the catalog could not be written to disk.")
        .value(stats.catalog_saves_failed.load(Relaxed));
}

fn http(text: &mut Text, app: &App) {
    let (counters, limits) = (app.counters(), &app.config().limits);
    let mut family = text.family("lobby_http_requests_total", Counter, "Requests answered, by class of route and of status.");
    for (route, class, count) in counters.answers() {
        family.sample(&[("route", route.as_str()), ("status", &format!("{class}xx"))], count);
    }
    let mut family =
        text.family("lobby_http_refused_total", Counter, "Requests and connections refused or cut off at a limit or a door.");
    for (refusal, count) in counters.refusals() {
        family.sample(&[("reason", refusal.as_str())], count);
    }
    let (wakes, in_vain) = app.state.watches.counts();
    text.family("lobby_watch_wakes_total", Counter, "Blocking requests to Consul's routes that a change woke.").value(wakes);
    text.family("lobby_watch_wakes_in_vain_total", Counter, "Those of them whose own index had not changed.").value(in_vain);
    text.family("lobby_watch_topics", Gauge, "Services, nodes and tables that blocking requests wait for.")
        .value(app.state.watches.topics());
    text.family(
        "lobby_consul_bodies_total",
        Counter,
        "Bodies of Consul's read routes that were made; equal questions share one.",
    )
    .value(counters.renderings.load(Relaxed));
    text.family("lobby_http_connections", Gauge, "Open connections.").value(app.state.room.open());
    text.family("lobby_http_connections_bound", Gauge, "How many connections may be open.").value(limits.connections);
    text.family("lobby_http_connections_accepted_total", Counter, "Connections accepted.").value(counters.accepted.load(Relaxed));
    text.family("lobby_http_connections_idle_closed_total", Counter, "Connections closed because no further request came.")
        .value(counters.idle_closed.load(Relaxed));
    text.family("lobby_http_accept_errors_total", Counter, "Failed calls of accept, as without free file descriptors.")
        .value(counters.accept_errors.load(Relaxed));
    text.family("lobby_http_waits", Gauge, "Blocking requests that wait.").value(counters.waits.load(Relaxed));
    text.family("lobby_http_waits_bound", Gauge, "How many blocking requests may wait.").value(limits.waits);
    text.family("lobby_http_streams", Gauge, "Event streams that are open.").value(counters.streams.load(Relaxed));
    text.family("lobby_http_streams_bound", Gauge, "How many event streams may be open.").value(limits.streams);
    text.family("lobby_stream_bodies_total", Counter, "Whole pictures and differences that were made for event streams.")
        .value(app.state.events.made.load(Relaxed));
    let free = app.state.asks.available_permits();
    text.family("lobby_http_asks", Gauge, "Queries to the fleet that are under way.").value(limits.asks.saturating_sub(free));
    text.family("lobby_http_asks_bound", Gauge, "How many queries to the fleet may be under way.").value(limits.asks);
}
