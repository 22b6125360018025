//! What every answer has in common: the headers that tell how good the picture is, the counting, the JSON form.
//!
//! [`around`] is the outermost layer: it takes the [`View`] that the whole answer is made from, asks the doors, and
//! adds `X-Lobby-Revision`, `X-Lobby-Warm` and `X-Lobby-Age`. Refusals of routes in Consul's form get the form of Consul's.
//! Not here: the bodies of lists with their cache (`body`, `rest`), the doors' rules (`access`).

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    App, View, access,
    consul::Waited,
    counters::{Refusal, Route},
    error::{ApiError, ErrorLine, shown},
    parking,
};

/// The content type of JSON bodies, spelt as the old daemon spells it.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// The content type of errors and of `OK`.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

const REVISION: HeaderName = HeaderName::from_static("x-lobby-revision");
const WARM: HeaderName = HeaderName::from_static("x-lobby-warm");
const AGE: HeaderName = HeaderName::from_static("x-lobby-age");

/// There are no ACLs: whatever none of them speaks of is allowed.
const DEFAULT_POLICY: HeaderName = HeaderName::from_static("x-consul-default-acl-policy");

/// Marks an answer whose body goes on after its head: the connection is busy until the body has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streamed;

/// The outermost layer of all routes.
pub(crate) async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let route = Route::of(request.uri().path());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let view = app.view();
    let described = view.described();
    let is_consul = route.is_consul(request.uri().path());
    let mut response = match access::doors(&app, &view, route, &request) {
        Ok(()) => {
            let rights = access::rights(&app, &request);
            request.extensions_mut().insert(rights);
            // Nothing here holds the view on: a request may wait for long, and the catalog moves on.
            request.extensions_mut().insert(view);
            next.run(request).await
        }
        Err(err) => err.into_response(),
    };
    if parking::is_parked(&response) {
        return response;
    }
    // Whoever has changed something, or has waited, sees the revision that shows it.
    let waited = response.extensions().get::<Waited>().is_some();
    let described = if reads && !waited { described } else { app.view().described() };
    described.write(response.headers_mut());
    if is_consul {
        response = as_consul(response);
    }
    app.counters().answered(route, response.status().as_u16());
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        app.counters().refused(*refusal);
    }
    response
}

/// What all answers of routes in Consul's form have, and that no refusal of theirs ends in a line end.
fn as_consul(mut response: Response) -> Response {
    if let Some(ErrorLine(line)) = response.extensions_mut().remove() {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(line);
    }
    response.headers_mut().insert(DEFAULT_POLICY, HeaderValue::from_static("allow"));
    response
}

/// How good a view is, as headers tell it.
#[derive(Clone, Copy, Debug)]
struct Described {
    revision: u64,
    warm: bool,
    /// In seconds.
    age: u64,
}

impl View {
    fn described(&self) -> Described {
        let snapshot = &self.snapshot;
        Described { revision: snapshot.revision.0, warm: snapshot.warm, age: snapshot.age(self.now).as_secs() }
    }
}

impl Described {
    fn write(self, headers: &mut HeaderMap) {
        headers.insert(REVISION, self.revision.into());
        headers.insert(WARM, HeaderValue::from_static(if self.warm { "true" } else { "false" }));
        headers.insert(AGE, self.age.into());
    }
}

/// Pretty JSON with two blanks and a line end, as bytes.
pub(crate) fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("maps with text keys, lists, texts and numbers always serialise");
    bytes.push(b'\n');
    bytes
}

/// A JSON answer.
pub(crate) fn json(value: &impl Serialize) -> Response {
    ([(header::CONTENT_TYPE, JSON)], pretty(value)).into_response()
}

/// The answer to a change that was made.
pub(crate) fn ok() -> Response {
    ([(header::CONTENT_TYPE, TEXT)], "OK").into_response()
}

/// The answer of no route.
pub(crate) async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound(shown(uri.path()))
}

/// The answer of a route that does not know the method; to `OPTIONS` the header `Allow` is all there is to say.
pub(crate) async fn wrong_method(method: Method) -> Result<(), ApiError> {
    if method == Method::OPTIONS { Ok(()) } else { Err(ApiError::WrongMethod(shown(method.as_str()))) }
}
