//! The answers to a query as a stream: one line of JSON for each thing that happens, at once.
//!
//! ```text
//! {"type":"asked","name":"load","asked":3}
//! {"type":"ack","id":"…","name":"web-1"}
//! {"type":"answer","id":"…","name":"web-1","text":"0.5","base64":"MC41"}
//! {"type":"end","end":"complete","acks":1,"answers":1,"missing":[{"id":"…","name":"web-2"}]}
//! ```
//! The body is polled by its connection and has no task of its own. Without an `end` the connection was cut off.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::body::Frame;
use lobby_core::port::gossip::QueryNews;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Sleep, sleep_until},
};

use super::{Asked, End, NodeAnswer, Silent, Who};
use crate::{App, answer::Streamed};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Asked { name: String, asked: usize },
    Ack(Who),
    Answer(NodeAnswer),
    End { end: End, acks: usize, answers: usize, missing: Option<Vec<Who>> },
}

/// The body in the making.
struct Lines {
    app: App,
    first: Option<Line>,
    news: mpsc::Receiver<QueryNews>,
    ack: bool,
    silent: Silent,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    late: Pin<Box<Sleep>>,
    acks: usize,
    answers: usize,
    /// The place among the queries under way, until the end.
    permit: Option<OwnedSemaphorePermit>,
}

/// The answer that tells everything as it comes.
pub(super) fn stream(asked: Asked) -> Response {
    let Asked { app, name, news, ack, silent, give_up, stop, permit } = asked;
    let body = Lines {
        app,
        first: Some(Line::Asked { name, asked: silent.n_asked() }),
        news,
        ack,
        silent,
        stopped: Box::pin(stop.stopped()),
        late: Box::pin(sleep_until(give_up)),
        acks: 0,
        answers: 0,
        permit: Some(permit),
    };
    let mut response = Body::new(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response.extensions_mut().insert(Streamed);
    response
}

impl Lines {
    /// The next line; `None` after the last one.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Line>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.permit.is_none() {
            return Poll::Ready(None);
        }
        let mut next = self.news.poll_recv(cx);
        // Without acknowledgements the only one is our own.
        while !self.ack && matches!(next, Poll::Ready(Some(QueryNews::Ack(_)))) {
            next = self.news.poll_recv(cx);
        }
        let end = match next {
            Poll::Ready(Some(QueryNews::Ack(id))) => {
                self.acks += 1;
                self.silent.heard(id);
                return Poll::Ready(Some(Line::Ack(Who::new(&self.app, id))));
            }
            Poll::Ready(Some(QueryNews::Answer(id, payload))) => {
                self.answers += 1;
                self.silent.heard(id);
                return Poll::Ready(Some(Line::Answer(NodeAnswer::new(&self.app, id, &payload))));
            }
            Poll::Ready(None) => End::of(&self.app),
            Poll::Pending if self.stopped.as_mut().poll(cx).is_ready() => End::Stopping,
            Poll::Pending if self.late.as_mut().poll(cx).is_ready() => End::Complete,
            Poll::Pending => return Poll::Pending,
        };
        self.permit = None;
        let missing = self.silent.names(&self.app);
        Poll::Ready(Some(Line::End { end, acks: self.acks, answers: self.answers, missing }))
    }
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().poll_line(cx).map(|line| {
            let mut bytes = serde_json::to_vec(&line?).expect("texts and numbers always serialise");
            bytes.push(b'\n');
            Some(Ok(Frame::data(bytes.into())))
        })
    }
}
