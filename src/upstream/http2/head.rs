//! A request's head as HTTP/2 has it (RFC 9113 section 8.3.1). Pure.

use http::{
    HeaderName, HeaderValue, Method, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    uri::{Authority, PathAndQuery, Scheme},
};

use super::{super::Endpoint, Http2Error};
use crate::message::{Request, lines::HeaderLines};

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeclaredLength {
    /// There is none.
    Empty,
    /// So many bytes.
    Known(u64),
    /// Its end will tell.
    Open,
}

/// The head of the stream that asks `server` for what `head` asks, with the lines `added` to it.
///
/// # Errors
/// It names nothing that could be asked for.
pub(super) fn write<R>(
    head: &Request<R>,
    added: &HeaderLines,
    length: DeclaredLength,
    server: &Endpoint,
) -> Result<Request<()>, Http2Error> {
    let mut headers = head.fields().clone();
    // What the visitor asked for stands in a place of its own.
    let host = headers.remove(HOST);
    // What HTTP/1 said of framing has no meaning in a stream; the length is said below, as it
    // really is.
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(framing);
    }
    for (name, value) in added.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    match length {
        DeclaredLength::Known(length) => headers.insert(CONTENT_LENGTH, length.into()),
        // A method that is expected to have a body says that it has none (RFC 9110 section 8.6).
        DeclaredLength::Empty if matches!(*head.method(), Method::POST | Method::PUT | Method::PATCH) => {
            headers.insert(CONTENT_LENGTH, 0.into());
        }
        DeclaredLength::Empty | DeclaredLength::Open => {}
    }
    let mut request = Request::new(());
    request.method_mut().clone_from(head.method());
    *request.uri_mut() = target(head.uri(), host.as_ref(), server)?;
    *request.version_mut() = Version::HTTP_2;
    *request.fields_mut() = headers;
    Ok(request)
}

fn target(asked: &Uri, host: Option<&HeaderValue>, server: &Endpoint) -> Result<Uri, Http2Error> {
    let named = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // Who names nothing (HTTP/1.0) is served by whatever this server is.
    let own = || Authority::try_from(server.name.as_str()).unwrap_or(Authority::from_static("localhost"));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if server.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(named.unwrap_or_else(own));
    parts.path_and_query = Some(asked.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|error| Http2Error::Unsayable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, upstream::Endpoints};

    fn endpoint(server: &str) -> Endpoints {
        let text = format!(
            "listen = [{{ address = \"[::]:0\" }}]\nroutes = [{{ upstream = \"a\" }}]\n\
             [upstreams.a]\nservers = [\"{server}\"]\n"
        );
        Endpoints::new(&Config::parse("x", &text).unwrap().0.upstreams[0]).unwrap()
    }

    #[test]
    fn a_request_is_told_once() {
        let mut added = HeaderLines::default();
        added.push_text(&http::header::VIA, "1.1 x");
        added.push_text(&HeaderName::from_static("x-session-a"), "b: c");
        let request = http::Request::post("/a?b=c")
            .header("host", "shop.example:8443")
            .header("content-length", "9")
            .header("transfer-encoding", "chunked")
            .header("x-a", "1")
            .header("x-a", "2");
        let request = request.body(()).unwrap().into();
        for (length, wanted) in [
            (DeclaredLength::Known(7), Some("7")),
            (DeclaredLength::Empty, Some("0")),
            (DeclaredLength::Open, None),
        ] {
            let head = write(&request, &added, length, &endpoint("http://127.0.0.1:1").all[0]).unwrap();
            assert_eq!(head.uri(), "http://shop.example:8443/a?b=c");
            assert_eq!(head.method(), Method::POST);
            let mut lines: Vec<_> =
                head.fields().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
            lines.retain(|line| !line.starts_with("content-length"));
            assert_eq!(lines, ["x-a: 1", "x-a: 2", "via: 1.1 x", "x-session-a: b: c"]);
            assert_eq!(head.fields().get("content-length").map(|l| l.to_str().unwrap()), wanted);
        }
    }

    #[test]
    fn what_is_asked_for() {
        for (server, host, target, wanted) in [
            ("http://127.0.0.1:81", Some("a"), "/", "http://a/"),
            ("https://127.0.0.1:81", Some("[::1]:8"), "/x", "https://[::1]:8/x"),
            ("http://127.0.0.1:81", Some(""), "/x", "http://127.0.0.1:81/x"),
            ("http://127.0.0.1:81", None, "/x", "http://127.0.0.1:81/x"),
            ("unix:/run/a.sock", None, "/x?y", "http://localhost/x?y"),
        ] {
            let mut request = Request::from(http::Request::get(target).body(()).unwrap());
            if let Some(host) = host {
                request.fields_mut().insert(HOST, HeaderValue::from_static(host));
            }
            let head =
                write(&request, &HeaderLines::default(), DeclaredLength::Empty, &endpoint(server).all[0])
                    .unwrap();
            assert_eq!(head.uri().to_string(), wanted);
            assert!(head.fields().is_empty());
        }
        let request = http::Request::options("*").body(()).unwrap().into();
        let head =
            write(&request, &HeaderLines::default(), DeclaredLength::Empty, &endpoint("http://a").all[0])
                .unwrap();
        assert_eq!(head.uri().path(), "*");
    }
}
