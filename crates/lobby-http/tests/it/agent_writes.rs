//! Registering, reporting and maintenance as Consul's clients do it: bodies of real libraries, every status code.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use lobby_core::{
    check::Status,
    instance::{Id, Instance, Invalid},
    local::SetError,
    port::registry::{LocalInstance, PROXY_PORTS, RegistryError, Source},
};
use lobby_http::Config;

use crate::fixture::{Answer, Fleet, Served, config, from};

fn serve() -> Served {
    Fleet::new(&[]).located("dc1").serve(config())
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

async fn done(served: &Served, path: &str, body: &str) {
    let answer = served.put(path, body).await;
    assert_eq!((answer.status, answer.text(), answer.header("content-type")), (StatusCode::OK, "", ""), "{path}");
}

async fn refused(served: &Served, path: &str, body: &str, status: u16, words: &str) {
    let answer = served.put(path, body).await;
    assert_eq!(answer.status.as_u16(), status, "{path} {body}: {}", answer.text());
    assert!(answer.text().contains(words), "{path} {body}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
}

#[tokio::test]
async fn bodies_of_real_clients_are_registered() {
    let served = serve();
    let register = "/v1/agent/service/register";
    // Spring Cloud Consul, py-consul, node-consul, and a bare one.
    done(&served, register, r#"{"ID":"app-8080","Name":"app","Tags":["secure=false"],"Address":"10.0.0.9","Meta":{},"Port":8080,"Check":{"Interval":"10s","HTTP":"http://10.0.0.9:8080/actuator/health","Header":{}}}"#).await;
    done(&served, register, r#"{"name":"foo","address":"10.10.10.1","enabletagoverride":false,"check":{"ttl":"100ms"}}"#).await;
    done(&served, register, r#"{"name":"example","check":{"ttl":"10s","deregister_critical_service_after":"1m"},"checks":[{"http":"http://example.com","interval":"5s"}]}"#).await;
    done(&served, register, r#"{"Name":"bare"}"#).await;
    assert_eq!(
        served.registry.asked(),
        [
            "register app-8080 of app service:app-8080=http",
            "register foo of foo service:foo=ttl",
            "register example of example service:example:1=ttl service:example:2=http",
            "register bare of bare",
        ]
    );
    // POST is as good, and the content type is not looked at.
    let typed = [("content-type", "text/plain")];
    let answer = served.ask("POST", &format!("{register}?replace-existing-checks="), &typed, r#"{"Name":"bare"}"#).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, ""));
    assert_eq!(served.registry.asked(), ["register bare of bare replace"]);
}

#[tokio::test]
async fn a_sidecar_comes_and_goes_with_its_instance() {
    let served = serve();
    let body = r#"{"Name":"web","Port":8080,"Connect":{"SidecarService":{}}}"#;
    done(&served, "/v1/agent/service/register", body).await;
    let asked = ["register web of web", "register web-sidecar-proxy of web-sidecar-proxy service:web-sidecar-proxy=alias"];
    assert_eq!(served.registry.asked(), asked);
    done(&served, "/v1/agent/service/deregister/web", "").await;
    assert_eq!(served.registry.asked(), ["deregister web"]);
    assert!(served.registry.view().instances.is_empty());
    // One that only has the name of a sidecar stays.
    done(&served, "/v1/agent/service/register", r#"{"Name":"web"}"#).await;
    done(&served, "/v1/agent/service/register", r#"{"Name":"web-sidecar-proxy"}"#).await;
    done(&served, "/v1/agent/service/deregister/web", "").await;
    assert_eq!(served.registry.view().instances.keys().map(Id::as_str).collect::<Vec<_>>(), ["web-sidecar-proxy"]);
}

#[tokio::test]
async fn an_instance_does_not_come_without_a_port_for_its_proxy() {
    let served = serve();
    served.registry.change(|view| {
        for port in PROXY_PORTS {
            let id: Id = format!("p{port}").parse().unwrap();
            let instance = Arc::new(Instance { port, ..Instance::new(id.clone(), id.clone()) });
            view.instances.insert(id, Arc::new(LocalInstance { instance, source: Source::Api }));
        }
    });
    let body = r#"{"Name":"web","Connect":{"SidecarService":{}}}"#;
    let answer = served.put("/v1/agent/service/register", body).await;
    let words = "no port provided for sidecar_service and none left in the configured range [21000, 21255]";
    assert!(answer.status == StatusCode::BAD_REQUEST && answer.text().ends_with(words), "{}", answer.text());
    assert!(served.registry.asked().is_empty());
    done(&served, "/v1/agent/service/register", r#"{"Name":"web","Connect":{"SidecarService":{"Port":9}}}"#).await;
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_with_the_words_that_clients_look_for() {
    let served = serve();
    for (path, body, words) in [
        ("/v1/agent/service/register", "", "Request decode failed"),
        ("/v1/agent/service/register", "{", "Request decode failed"),
        ("/v1/agent/service/register", "[]", "JSON object"),
        ("/v1/agent/service/register", "{}", "Missing service name"),
        ("/v1/agent/service/register", r#"{"Name":"a","Address":"0.0.0.0"}"#, "Invalid service address"),
        ("/v1/agent/service/register", r#"{"Name":"a","Check":{"TTL":"x"}}"#, "invalid duration"),
        ("/v1/agent/service/register", r#"{"Name":"a","Port":70000}"#, "Port"),
        ("/v1/agent/service/register", r#"{"Name":"a","Check":{"PID":"self"}}"#, "unix socket"),
        ("/v1/agent/check/register", r#"{"TTL":"10s"}"#, "Missing check name"),
        ("/v1/agent/check/register", r#"{"Name":"a"}"#, "needs one of"),
        ("/v1/agent/check/register", r#"{"Name":"a","TTL":"1s","Status":"fine"}"#, "passing, warning, critical"),
        ("/v1/agent/check/update/a", r#"{"Status":"fine"}"#, "passing, warning or critical"),
        ("/v1/agent/check/update/a", "no", "Request decode failed"),
    ] {
        refused(&served, path, body, 400, words).await;
    }
    let most = config().limits.body_bytes;
    for (bytes, status) in [(most, 400), (most + 1, 413)] {
        let answer = served.put("/v1/agent/service/register", &" ".repeat(bytes)).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    }
    assert_eq!(served.registry.asked(), [""; 0]);
}

#[tokio::test]
async fn checks_of_the_node_and_of_instances() {
    let served = serve();
    done(&served, "/v1/agent/check/register", r#"{"Name":"mem","TTL":"10s"}"#).await;
    let script = r#"{"name":"disk","args":["/bin/true"],"interval":10,"notes":"n","id":"d1"}"#;
    done(&served, "/v1/agent/check/register", script).await;
    let of_none = r#"{"Name":"x","TTL":"10s","ServiceID":"none"}"#;
    refused(&served, "/v1/agent/check/register", of_none, 404, "unknown service ID \"none\"").await;
    assert_eq!(served.registry.asked(), ["check mem mem=ttl", "check d1 disk=script", "check x x=ttl"]);
    done(&served, "/v1/agent/check/deregister/d1", "").await;
    refused(&served, "/v1/agent/check/deregister/d1", "", 404, "unknown check ID \"d1\"").await;
}

#[tokio::test]
async fn reports() {
    let served = serve();
    done(&served, "/v1/agent/check/register", r#"{"Name":"a/b","TTL":"10s"}"#).await;
    done(&served, "/v1/agent/check/register", r#"{"Name":"tcp","TCP":"h:1","Interval":"10s"}"#).await;
    served.registry.asked();
    for (path, body, want) in [
        ("/v1/agent/check/pass/a/b", "", r#"passing a/b """#),
        ("/v1/agent/check/pass/a%2fb?note=all+well", "", r#"passing a/b "all well""#),
        ("/v1/agent/check/warn/a/b?note=slow", "", r#"warning a/b "slow""#),
        ("/v1/agent/check/fail/a/b", "", r#"critical a/b """#),
        ("/v1/agent/check/update/a/b", r#"{"Status":"warning","Output":"x\ny"}"#, r#"warning a/b "x\ny""#),
        ("/v1/agent/check/update/a/b", r#"{"status":"passing"}"#, r#"passing a/b """#),
    ] {
        done(&served, path, body).await;
        assert_eq!(served.registry.asked(), [want], "{path}");
    }
    for verb in ["pass", "warn", "fail"] {
        refused(&served, &format!("/v1/agent/check/{verb}/none"), "", 404, "unknown check ID \"none\"").await;
        refused(&served, &format!("/v1/agent/check/{verb}/tcp"), "", 500, "TTL").await;
    }
    refused(&served, "/v1/agent/check/update/none", r#"{"Status":"passing"}"#, 404, "unknown check ID").await;
    assert_eq!(served.registry.view().checks[&id("a/b")].status, Status::Passing);
    // The end of what a program says is told, within a bound.
    let long = format!("{}the end", "ü".repeat(100_000));
    let body = serde_json::json!({ "Status": "critical", "Output": long }).to_string();
    done(&served, "/v1/agent/check/update/a/b", &body).await;
    let output = served.registry.view().checks[&id("a/b")].output.clone();
    assert!(output.len() <= 16 << 10 && output.len() > 16_000 && output.ends_with("üthe end"), "{}", output.len());
}

#[tokio::test]
async fn maintenance() {
    let served = serve();
    done(&served, "/v1/agent/service/register", r#"{"Name":"web"}"#).await;
    served.registry.asked();
    for (path, want) in [
        ("/v1/agent/service/maintenance/web?enable=true&reason=broken+disk", r#"maintain Instance("web") Some("broken disk")"#),
        ("/v1/agent/service/maintenance/web?enable=false", r#"maintain Instance("web") None"#),
        ("/v1/agent/maintenance?enable=1&reason=x", r#"maintain Node Some("x")"#),
        ("/v1/agent/maintenance?enable=F", "maintain Node None"),
    ] {
        done(&served, path, "").await;
        assert_eq!(served.registry.asked(), [want], "{path}");
    }
    done(&served, "/v1/agent/maintenance?enable=true", "").await;
    assert_eq!(&*served.registry.view().checks[&id("_node_maintenance")].notes, "", "the registry has the words for it");
    for path in ["/v1/agent/maintenance", "/v1/agent/service/maintenance/web"] {
        for query in ["", "?enable", "?enable=yes", "?enable=2", "?reason=x"] {
            refused(&served, &format!("{path}{query}"), "", 400, "enable").await;
        }
    }
    refused(&served, "/v1/agent/service/maintenance/none?enable=true", "", 404, "unknown service ID \"none\"").await;
}

#[tokio::test]
async fn ids_are_the_rest_of_the_path_as_it_is() {
    let served = serve();
    for (path, want) in [
        ("//a/b", "/a/b"),
        ("/app%23127.0.0.1%233000", "app#127.0.0.1#3000"),
        ("/a/../b", "a/../b"),
        ("/my%20app+1", "my app+1"),
        ("/%C5%BE", "ž"),
    ] {
        served.registry.asked();
        refused(&served, &format!("/v1/agent/service/deregister{path}"), "", 404, "ensure that the id").await;
        assert_eq!(served.registry.asked(), [format!("deregister {want}")], "{path}");
    }
    for path in ["/", "/%00", "/a%0ab", "/%7f", "/%", "/%ff", &format!("/{}", "x".repeat(257))] {
        refused(&served, &format!("/v1/agent/service/deregister{path}"), "", 400, "path").await;
        refused(&served, &format!("/v1/agent/check/pass{path}"), "", 400, "path").await;
    }
    assert_eq!(served.registry.asked(), [""; 0]);
}

#[tokio::test]
async fn every_refusal_of_the_registry_has_its_status() {
    let served = serve();
    let too_large = SetError::TooLarge { id: id("a"), bytes: 2, most: 1 };
    let invalid = SetError::Invalid(Invalid::TooMany { field: "tags", count: 300, most: 256 });
    for (refusal, status, words) in [
        (RegistryError::UnknownInstance("a".into()), 404, "not the name"),
        (RegistryError::UnknownCheck("a".into()), 404, "unknown check ID"),
        (
            RegistryError::FromLabel { id: id("web:80"), label: "service:web:port:80".parse().unwrap() },
            409,
            "service:web:port:80",
        ),
        (RegistryError::Set(invalid), 400, "tags: 300"),
        (RegistryError::Set(too_large), 400, "no room"),
        (RegistryError::Reserved(id("serfHealth")), 400, "reserved"),
        (RegistryError::ScriptsDisabled, 400, "enable_script_checks"),
        (RegistryError::Process { pid: 7, why: Arc::from("No such process") }, 400, "PID 7"),
        (RegistryError::TooMany { what: "checks", most: 64 }, 400, "at most 64"),
        (RegistryError::FromFile { id: id("a"), file: Arc::from("web.toml") }, 409, "web.toml"),
        (RegistryError::Changed(id("a")), 409, "meanwhile"),
        (RegistryError::NotSaved(Arc::from("disk full")), 500, "disk full"),
        (RegistryError::Stopping, 503, "stopping"),
    ] {
        served.registry.refuse(Some(refusal));
        refused(&served, "/v1/agent/service/register", r#"{"Name":"a"}"#, status, words).await;
        refused(&served, "/v1/agent/service/deregister/a", "", status, words).await;
    }
    let stopping = served.put("/v1/agent/service/deregister/a", "").await;
    assert_eq!(stopping.header("retry-after"), "1");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_does_not_answer_is_not_waited_for_without_end() {
    let served = serve();
    served.registry.pause(Duration::from_secs(3600));
    for (method, path, body) in [
        ("PUT", "/v1/agent/service/register", r#"{"Name":"a"}"#),
        ("PUT", "/v1/services/a/a", r#"{"Name":"a"}"#),
        ("POST", "/v1/hold", r#"{"Name":"a"}"#),
        ("PUT", "/v1/agent/check/pass/a", ""),
    ] {
        let start = tokio::time::Instant::now();
        let answer = served.ask(method, path, &[], body).await;
        assert_eq!(start.elapsed(), Duration::from_secs(30), "{path}");
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::GATEWAY_TIMEOUT, "1"), "{path} {}", answer.text());
        assert!(answer.text().contains("whether the change was made is not known"), "{path} {}", answer.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_waits_for_a_slow_disk() {
    let served = serve();
    served.registry.pause(Duration::from_secs(29));
    let start = tokio::time::Instant::now();
    let answer = served.put("/v1/agent/service/register", r#"{"Name":"a"}"#).await;
    assert_eq!((answer.status, answer.text(), start.elapsed()), (StatusCode::OK, "", Duration::from_secs(29)));
    assert!(served.registry.view().instances.contains_key(&id("a")));
}

#[tokio::test]
async fn whom_a_write_is_meant_for() {
    let served = serve();
    let ask = async |query: &str, headers: &[(&str, &str)]| -> Answer {
        let path = format!("/v1/agent/service/register{query}");
        served.ask("PUT", &path, headers, r#"{"Name":"a"}"#).await
    };
    for query in ["?dc=dc1", "?dc=DC1", "?dc=", "?ns=default", "?ns=&partition=default", "?token=any"] {
        assert_eq!(ask(query, &[]).await.status, StatusCode::OK, "{query}");
    }
    assert_eq!(ask("", &[("x-consul-namespace", "default"), ("ns", "other")]).await.status, StatusCode::OK);
    let other = ask("?dc=dc2", &[]).await;
    assert_eq!((other.status, other.text()), (StatusCode::INTERNAL_SERVER_ERROR, "No path to datacenter \"dc2\""));
    for (query, headers) in [
        ("?ns=other", &[][..]),
        ("?partition=p", &[]),
        ("", &[("x-consul-namespace", "other")]),
        ("", &[("x-consul-partition", "p")]),
    ] {
        assert_eq!(ask(query, headers).await.status, StatusCode::BAD_REQUEST, "{query} {headers:?}");
    }
}

#[tokio::test]
async fn maintenance_of_the_node_is_for_operators_and_the_rest_is_not() {
    let served = Fleet::new(&[]).serve(Config { operator_loopback: false, ..config() });
    let send = async |path: &str, body: &'static str| {
        let request = axum::http::Request::put(path).header("host", "10.0.0.1").body(body.into()).unwrap();
        served.send(from("10.0.0.9:5000", false), request).await.status
    };
    assert_eq!(send("/v1/agent/maintenance?enable=true", "").await, StatusCode::FORBIDDEN);
    assert_eq!(send("/v1/agent/service/register", r#"{"Name":"a"}"#).await, StatusCode::OK);
    assert_eq!(send("/v1/agent/service/maintenance/a?enable=true", "").await, StatusCode::OK);
    assert_eq!(served.registry.asked(), ["register a of a", "maintain Instance(\"a\") Some(\"\")"]);
    let served = Fleet::new(&[]).serve(Config { token: Some("t".into()), ..config() });
    for path in ["/v1/agent/service/register", "/v1/agent/check/pass/a", "/v1/agent/maintenance?enable=true", "/v1/drain"] {
        assert_eq!(served.put(path, "").await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(served.registry.asked(), [""; 0]);
}

#[tokio::test]
async fn writes_are_not_read() {
    let served = serve();
    for path in [
        "/v1/agent/service/register",
        "/v1/agent/service/deregister/a",
        "/v1/agent/check/register",
        "/v1/agent/check/deregister/a",
        "/v1/agent/check/pass/a",
        "/v1/agent/check/update/a",
        "/v1/agent/service/maintenance/a",
        "/v1/agent/maintenance",
        "/v1/agent/reload",
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "PUT,POST"), "{path}");
    }
}
