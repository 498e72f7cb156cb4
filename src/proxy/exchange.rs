//! One exchange: what is known of a request from its first byte to its last, and its line in the access log.

use std::{net::IpAddr, time::Instant};

use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use uuid::Uuid;

use super::access_log::{AccessLog, Line};
use crate::clock::{self, Timestamp};

/// What the access log will say.
#[derive(Debug)]
struct Noted {
    log: AccessLog,
    method: Method,
    target: String,
    version: Version,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    began: Instant,
}

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// When it began: the one timestamp that all its decisions use.
    pub now: Timestamp,
    /// The visitor's address.
    pub client: Option<IpAddr>,
    /// The session's public id.
    pub session: Option<Uuid>,
    /// The answer's status; 499, as nginx writes it, where the visitor went before there was one.
    pub status: StatusCode,
    /// Bytes of body that went out.
    pub sent: u64,
    /// The answer did not go out whole. So until it has.
    pub cut: bool,
    /// The answer has no body, whatever it says.
    pub head_only: bool,
    id: Option<Uuid>,
    noted: Option<Box<Noted>>,
}

impl Exchange {
    /// Begins; what the access log needs is copied only if a line will be written.
    pub fn begin<B>(request: &Request<B>, log: Option<&AccessLog>) -> Self {
        let noted = log.map(|log| {
            let copy = |name| request.headers().get(name).cloned();
            Box::new(Noted {
                log: log.clone(),
                method: request.method().clone(),
                target: request
                    .uri()
                    .path_and_query()
                    .map_or_else(|| request.uri().to_string(), ToString::to_string),
                version: request.version(),
                host: copy(header::HOST)
                    .or_else(|| HeaderValue::from_str(request.uri().authority()?.as_str()).ok()),
                referer: copy(header::REFERER),
                agent: copy(header::USER_AGENT),
                began: clock::instant(),
            })
        });
        Self {
            now: Timestamp::now(),
            client: None,
            session: None,
            status: gone(),
            sent: 0,
            cut: true,
            head_only: *request.method() == Method::HEAD,
            id: noted.as_ref().map(|_| Uuid::now_v7()),
            noted,
        }
    }

    /// The request's id in the logs.
    pub fn id(&self) -> String {
        self.id.map_or_else(|| "-".into(), |id| id.to_string())
    }
}

fn gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl Drop for Exchange {
    /// Finish: always runs, however the exchange ended.
    fn drop(&mut self) {
        if let Some(noted) = self.noted.take() {
            noted.log.write(&Line {
                id: self.id,
                at: self.now,
                client: self.client,
                method: &noted.method,
                target: &noted.target,
                version: noted.version,
                host: noted.host.as_ref(),
                referer: noted.referer.as_ref(),
                agent: noted.agent.as_ref(),
                status: self.status,
                sent: self.sent,
                cut: self.cut,
                took: noted.began.elapsed(),
                session: self.session,
            });
        }
    }
}
