//! The description of our own routes for nodes and services, in OpenAPI 3.1, made of the table that the router is made of.
//!
//! ```text
//! GET /v1/openapi.json
//! ```
//! Not here: the shapes of bodies (`schema`).

use axum::{extract::State, response::Response};
use serde_json::{Map, Value, json};

use super::{Answer, ROUTES, Route, Who, schema};
use crate::{App, answer};

/// What stands for a part of a path.
const PARTS: [(&str, &str); 3] =
    [("name", "the name of a service"), ("id", "the id of an instance"), ("check", "the id of a check")];

pub(super) async fn description(State(app): State<App>) -> Response {
    answer::json(&document(&app.config().version))
}

fn document(version: &str) -> Value {
    let mut paths = Map::new();
    for route in &ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(verbs) = path {
            verbs.insert(route.verb.as_str().to_owned(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lobby: nodes and services",
            "version": version,
            "description": "Errors are one line of plain text.",
        },
        "paths": paths,
        "components": {
            "schemas": schema::schemas(),
            "securitySchemes": { "token": { "type": "apiKey", "in": "header", "name": "Authorization" } },
        },
        "security": [{ "token": [] }, {}],
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route),
        "responses": responses(route),
    });
    if let (Some(body), Value::Object(operation)) = (route.body, &mut operation) {
        let content = json!({ "content": { "application/json": { "schema": reference(body) } } });
        operation.insert("requestBody".to_owned(), content);
    }
    if let (Who::Operator, Value::Object(operation)) = (route.who, &mut operation) {
        operation.insert("description".to_owned(), "For operators only.".into());
    }
    operation
}

/// The method and the fixed parts of the path.
fn operation_id(route: &Route) -> String {
    let parts = route.path.split('/').skip(2).map(|part| part.trim_matches(['{', '}']));
    std::iter::once(route.verb.as_str()).chain(parts).collect::<Vec<_>>().join("_").replace('.', "_")
}

fn parameters(route: &Route) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let in_path = PARTS.iter().filter(|(name, _)| route.path.contains(&format!("{{{name}}}")));
    let in_path = in_path.map(|(name, what)| (*name, *what, "path", true));
    let in_query = route.parameters.iter().map(|(name, what)| (*name, *what, "query", false));
    let all = in_path.chain(in_query);
    all.map(|(name, description, place, required)| {
        json!({ "name": name, "in": place, "required": required, "description": description, "schema": text })
    })
    .collect()
}

fn responses(route: &Route) -> Map<String, Value> {
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    let json_of = |schema: Value| json!({ "application/json": { "schema": schema } });
    let (what, content) = match route.answer {
        Answer::Done => ("OK", text.clone()),
        Answer::List(schema) => (schema, json_of(json!({ "type": "array", "items": reference(schema) }))),
        Answer::One(schema) => (schema, json_of(reference(schema))),
        Answer::Stream => ("Registered; a line end every ten seconds until the connection ends", text.clone()),
        Answer::Events => (
            "The whole picture, then each change for as long as the connection is open",
            json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        ),
        Answer::Description => ("An OpenAPI document", json_of(json!({ "type": "object" }))),
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": what, "content": content }));
    // The doors may refuse any of them.
    for status in [&[403], route.refusals].concat() {
        let refusal = json!({ "description": meaning(status), "content": text });
        responses.insert(status.to_string(), refusal);
    }
    responses
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "Something in the request is not accepted; nothing was changed",
        403 => "The token is missing or wrong, or the caller is no operator",
        404 => "There is no such node, service, instance or check, or no proxy",
        409 => "A label makes the instance, or several nodes have the name",
        413 => "The body is too large",
        429 => "Too many streams are open, or queries under way",
        500 => "The change could not be saved, or the check takes no reports",
        _ => "The agent is stopping, or the first complete picture has not arrived yet",
    }
}
