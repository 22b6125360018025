//! The shapes of the bodies of our own routes for nodes and services, as JSON schemas.
//!
//! Written by hand beside the types; a test compares them with real answers. Not here: the routes (`services`).

use serde_json::{Value, json};

/// All of them by name.
pub(super) fn schemas() -> Value {
    json!({
        "Node": node(),
        "Why": why(),
        "TargetGroup": whole(json!({ "targets": texts(), "labels": pairs() })),
        "Service": service(),
        "Instance": instance(),
        "Check": check(),
        "Proxy": proxy(),
        "Report": report(),
        "Definition": definition(),
        "CheckDefinition": check_definition(),
    })
}

fn status() -> Value {
    json!({ "type": "string", "enum": ["passing", "warning", "critical"] })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn pairs() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn weights() -> Value {
    let weight = json!({ "type": "integer", "minimum": 0, "maximum": 65535 });
    json!({ "type": "object", "properties": { "passing": weight, "warning": weight } })
}

fn port() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": 65535, "description": "0: none" })
}

fn duration() -> Value {
    json!({ "type": ["string", "integer"], "description": "such as 10s, 1m30s, 200ms, or nanoseconds" })
}

/// An object of which every property is there.
fn whole(properties: Value) -> Value {
    let required: Vec<_> = properties.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// A text, or null.
fn perhaps(what: &str) -> Value {
    json!({ "type": ["string", "null"], "description": what })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// How a node is.
fn state() -> Value {
    json!({ "type": "string", "enum": ["alive", "suspect", "restarting", "unattended", "stale", "failed"] })
}

fn node() -> Value {
    let mut node = whole(json!({
        "id": perhaps("null for a Go daemon"),
        "name": text(),
        "state": state(),
        "addresses": texts(),
        "generation": count(),
        "version": count(),
        "exchanges": list(whole(json!({ "name": text(), "state": state() }))),
        "age_ms": count(),
        "labels": texts(),
        "own": flag(),
        "signed": flag(),
        "conflict": flag(),
        "lobbyd": perhaps("its version"),
        "datacenter": perhaps("where it is"),
    }));
    // These are there only where they say something.
    node["properties"]["external"] = json!({ "type": "boolean", "description": "it has no agent" });
    node["properties"]["held"] = json!({ "type": "boolean", "description": "failed, but its services are shown as before" });
    node["properties"]["drain"] = json!({ "type": "boolean", "description": "it takes nothing new" });
    node["properties"]["distance_ms"] = json!({ "type": ["number", "null"], "description": "the round trip, with near" });
    node
}

fn why() -> Value {
    let words = ["passing", "warning", "draining", "critical", "maintenance", "failed"];
    let verdict = || json!({ "type": "string", "enum": words });
    let of = json!({ "type": "string", "enum": ["instance", "node"] });
    let kind = json!({ "type": "string", "enum": ["node", "check", "drain"] });
    let reason = json!({ "kind": kind, "state": state(), "id": text(), "output": text() });
    let exchange = whole(json!({ "node": state(), "link": { "type": "object" } }));
    let mut hold = whole(json!({ "since": count(), "until": count(), "exchange": text(), "reason": text() }));
    hold["type"] = json!(["object", "null"]);
    whole(json!({
        "service": text(),
        "id": text(),
        "verdict": verdict(),
        "reason": { "type": ["object", "null"], "properties": reason, "required": ["kind"] },
        "from_label": flag(),
        "drain": whole(json!({ "instance": flag(), "node": flag() })),
        "hold": hold,
        "owner": whole(json!({
            "id": perhaps("null for a Go daemon"),
            "name": text(),
            "own": flag(),
            "signed": flag(),
            "state": state(),
            "age_ms": count(),
            "exchanges": list(exchange),
        })),
        "checks": list(whole(json!({
            "id": text(),
            "name": text(),
            "of": of,
            "kind": text(),
            "status": status(),
            "verdict": verdict(),
            "interval_ms": count(),
            "timeout_ms": count(),
            "notes": text(),
            "output": text(),
        }))),
        "conflict": list(whole(json!({ "id": perhaps("null for a Go daemon"), "name": perhaps("null if it has gone") }))),
    }))
}

fn service() -> Value {
    whole(json!({
        "name": { "type": "string" },
        "instances": count(),
        "passing": count(),
        "warning": count(),
        "critical": count(),
        "draining": count(),
        "tags": texts(),
    }))
}

fn instance() -> Value {
    whole(json!({
        "id": { "type": "string", "description": "unique on its node" },
        "service": { "type": "string" },
        "node": { "type": "string" },
        "node_id": { "type": ["string", "null"] },
        "node_failed": { "type": "boolean" },
        "node_held": { "type": "boolean", "description": "failed, but its services are shown as before" },
        "address": { "type": "string", "description": "its own, else that of its node" },
        "port": port(),
        "tags": texts(),
        "meta": pairs(),
        "weights": weights(),
        "status": status(),
        "maintenance": { "type": "boolean" },
        "drain": { "type": "boolean", "description": "it, or all of its node, takes nothing new" },
        "from_label": { "type": "boolean", "description": "a label makes it" },
        "age_ms": { "type": ["integer", "null"], "description": "since its node was last heard of" },
        "checks": { "type": "array", "items": { "$ref": "#/components/schemas/Check" } },
    }))
}

fn check() -> Value {
    whole(json!({
        "id": { "type": "string" },
        "name": { "type": "string" },
        "of": { "type": "string", "enum": ["instance", "node"] },
        "kind": { "type": "string" },
        "status": status(),
        "notes": { "type": "string" },
        "output": { "type": "string", "description": "its beginning" },
    }))
}

fn proxy() -> Value {
    let known = json!({ "type": ["integer", "null"], "minimum": 0, "description": "null: its source has not answered yet" });
    let trouble = perhaps("why the source does not answer, if it does not; what was found before holds");
    let service = whole(json!({ "name": text(), "backends": known, "held": count(), "trouble": trouble }));
    let one = |what: &str| json!({ "type": ["object", "null"], "description": what });
    let haproxy = one("is_in_step, config_file, version, backends, last_error and counters; null: there is none");
    let mut proxy = whole(json!({ "services": list(service), "haproxy": haproxy }));
    for (name, what) in
        [("nginx", "the same of nginx"), ("files", "the same of [proxy.files]"), ("nerve", "checks of nerve's file")]
    {
        proxy["properties"][name] = one(what);
    }
    proxy
}

fn report() -> Value {
    json!({
        "type": "object",
        "properties": { "status": status(), "output": { "type": "string" } },
        "required": ["status"],
    })
}

fn definition() -> Value {
    let tagged = json!({ "type": "object", "properties": { "address": { "type": "string" }, "port": port() } });
    let checks = json!({ "type": "array", "items": { "$ref": "#/components/schemas/CheckDefinition" }, "maxItems": 64 });
    json!({
        "type": "object",
        "description": "name and id are those of the path, if it has them",
        "properties": {
            "name": { "type": "string" },
            "id": { "type": "string", "description": "the name, unless given" },
            "tags": texts(),
            "address": { "type": "string", "description": "that of the node, unless given" },
            "port": port(),
            "meta": pairs(),
            "tagged_addresses": { "type": "object", "additionalProperties": tagged },
            "weights": weights(),
            "enable_tag_override": { "type": "boolean" },
            "kind": { "type": "string" },
            "check": { "$ref": "#/components/schemas/CheckDefinition" },
            "checks": checks,
        },
    })
}

fn check_definition() -> Value {
    json!({
        "type": "object",
        "description": "exactly one of ttl, http, tcp, udp, grpc, h2ping, args, alias_service, alias_node, os_service, pid",
        "properties": {
            "check_id": text(),
            "name": text(),
            "notes": text(),
            "status": status(),
            "ttl": duration(),
            "http": text(),
            "method": text(),
            "header": { "type": "object", "additionalProperties": texts() },
            "body": text(),
            "disable_redirects": flag(),
            "tcp": text(),
            "tcp_use_tls": flag(),
            "udp": text(),
            "grpc": text(),
            "grpc_use_tls": flag(),
            "h2ping": text(),
            "h2ping_use_tls": flag(),
            "tls_server_name": text(),
            "tls_skip_verify": flag(),
            "args": texts(),
            "alias_service": text(),
            "alias_node": text(),
            "os_service": text(),
            "pid": { "type": ["integer", "string"], "description": "a process, or self over the unix socket" },
            "interval": duration(),
            "timeout": duration(),
            "success_before_passing": count(),
            "failures_before_warning": count(),
            "failures_before_critical": count(),
            "output_max_size": count(),
            "deregister_critical_service_after": duration(),
        },
    })
}
