//! The API for the program that the agent lives in: the same answers, whoever may ask from outside.

use lobby_http::{Config, Inside, InsideError};

use crate::fixture::Fleet;

#[tokio::test]
async fn it_answers_as_over_http_without_a_token_and_to_a_bound() {
    let served =
        Fleet::new(&["service:www"]).serve(Config { token: Some("s3cret".into()), disable_api: true, ..Config::default() });
    let inside = Inside::new(String::new(), served.handles.clone());
    let answered = inside.get("/v1/catalog/services", 1 << 20).await.unwrap();
    assert_eq!(answered.status, 200, "{:?}", answered.body);
    assert_eq!(answered.headers["x-lobby-warm"], "true");
    assert!(answered.headers["x-consul-index"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    let n_bytes = answered.body.len();
    let again = inside.get("/v1/catalog/services", n_bytes).await.unwrap();
    assert_eq!(again.body, answered.body);
    let short = inside.get("/v1/catalog/services", n_bytes - 1).await;
    assert!(matches!(short, Err(InsideError::TooLong(most)) if most == n_bytes - 1), "{short:?}");
    assert!(matches!(inside.get("no path", 1).await, Err(InsideError::Path)));
    assert_eq!(inside.get("/v1/nothing", 1 << 20).await.unwrap().status, 404);
}
