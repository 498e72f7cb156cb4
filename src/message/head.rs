//! A message of the proxy's own path: a request or an answer, with its [`Fields`]; and the lines of a head that came over
//! HTTP/1, cut into fields.

use std::ops::Range;

use bytes::Bytes;
use http::{Extensions, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use smallvec::SmallVec;

use super::fields::Fields;

/// A request.
#[derive(Debug, Default)]
pub struct Request<B> {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Fields,
    extensions: Extensions,
    body: B,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Response<B> {
    status: StatusCode,
    version: Version,
    fields: Fields,
    body: B,
}

impl<B> Request<B> {
    /// `GET /` of HTTP/1.1, with this body.
    pub fn new(body: B) -> Self {
        let (method, uri, version) = (Method::GET, Uri::default(), Version::HTTP_11);
        Self { method, uri, version, fields: Fields::new(), extensions: Extensions::new(), body }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The same, to be set.
    pub fn method_mut(&mut self) -> &mut Method {
        &mut self.method
    }

    /// What is asked for, in whichever form (RFC 9112 section 3.2).
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The same, to be set.
    pub fn uri_mut(&mut self) -> &mut Uri {
        &mut self.uri
    }

    /// The version that it came by.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The same, to be set.
    pub fn version_mut(&mut self) -> &mut Version {
        &mut self.version
    }

    /// The field lines.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The same, to be changed.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// What the connection knows of it, by type.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The same, to be changed.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The same, to be changed.
    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// With what becomes of the body.
    pub fn map<N>(self, become_of: impl FnOnce(B) -> N) -> Request<N> {
        let Self { method, uri, version, fields, extensions, body } = self;
        Request { method, uri, version, fields, extensions, body: become_of(body) }
    }

    /// Only the body.
    pub fn into_body(self) -> B {
        self.body
    }

    /// The head, and the body by itself.
    pub fn split(self) -> (Request<()>, B) {
        let Self { method, uri, version, fields, extensions, body } = self;
        (Request { method, uri, version, fields, extensions, body: () }, body)
    }
}

impl<B> Response<B> {
    /// 200 of HTTP/1.1, with this body.
    pub fn new(body: B) -> Self {
        Self { status: StatusCode::OK, version: Version::HTTP_11, fields: Fields::new(), body }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same, to be set.
    pub fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.status
    }

    /// The version that it came by.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The same, to be set.
    pub fn version_mut(&mut self) -> &mut Version {
        &mut self.version
    }

    /// The field lines.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The same, to be changed.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The same, to be changed.
    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// With what becomes of the body.
    pub fn map<N>(self, become_of: impl FnOnce(B) -> N) -> Response<N> {
        let Self { status, version, fields, body } = self;
        Response { status, version, fields, body: become_of(body) }
    }

    /// The head, and the body by itself.
    pub fn split(self) -> (Response<()>, B) {
        let Self { status, version, fields, body } = self;
        (Response { status, version, fields, body: () }, body)
    }

    /// Only the body.
    pub fn into_body(self) -> B {
        self.body
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            method: head.method,
            uri: head.uri,
            version: head.version,
            fields: head.headers.into(),
            extensions: head.extensions,
            body,
        }
    }
}

impl<B> From<Request<B>> for http::Request<B> {
    fn from(request: Request<B>) -> Self {
        let mut other = Self::new(request.body);
        *other.method_mut() = request.method;
        *other.uri_mut() = request.uri;
        *other.version_mut() = request.version;
        *other.headers_mut() = request.fields.into();
        *other.extensions_mut() = request.extensions;
        other
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, version: head.version, fields: head.headers.into(), body }
    }
}

impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let mut other = Self::new(response.body);
        *other.status_mut() = response.status;
        *other.version_mut() = response.version;
        *other.headers_mut() = response.fields.into();
        other
    }
}

/// Where the fields of a head lie in the bytes that it came in: noted while a parser still borrows them, so that names and
/// values can become slices of one shared piece once it is cut off.
#[derive(Debug)]
pub struct FieldPlaces(SmallVec<[(BytePlace, BytePlace); 24]>);

/// A range of bytes in a head, half as large as `Range<usize>`: a list of them is moved with every head.
#[derive(Debug, Clone, Copy)]
struct BytePlace {
    from: u32,
    to: u32,
}

impl BytePlace {
    /// Where `part` lies in `bytes`, which it is a slice of. Nothing, past 4 GiB: no head is let grow that long.
    fn of(bytes: &[u8], part: &[u8]) -> Self {
        let Range { start, end } = place_in(bytes, part);
        let place = u32::try_from(start).ok().zip(u32::try_from(end).ok());
        place.map_or(Self { from: 0, to: 0 }, |(from, to)| Self { from, to })
    }

    fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
}

/// So many lines are added to a head on its way, as a rule.
const ADDED: usize = 12;

impl FieldPlaces {
    /// Of these fields, parsed from `bytes`.
    pub fn of(fields: &[httparse::Header<'_>], bytes: &[u8]) -> Self {
        let place = |text: &[u8]| BytePlace::of(bytes, text);
        Self(fields.iter().map(|field| (place(field.name.as_bytes()), place(field.value))).collect())
    }

    /// Reads each field out of `head` and, where `takes` says so, adds it to `fields`. What folds a line is made blanks
    /// (RFC 9112 section 5.2); where folding is an error the parser has refused it.
    ///
    /// # Errors
    /// A name or a value that is none; what `takes` refuses.
    pub fn read<E: From<httparse::Error>>(
        self,
        head: &Bytes,
        fields: &mut Fields,
        mut takes: impl FnMut(&HeaderName, &HeaderValue) -> Result<bool, E>,
    ) -> Result<(), E> {
        fields.reserve(self.0.len() + ADDED);
        for (name, at) in self.0 {
            let name = HeaderName::from_bytes(head.get(name.range()).unwrap_or_default())
                .map_err(|_| httparse::Error::HeaderName)?;
            let value = HeaderValue::from_maybe_shared(head.slice(at.range()))
                .or_else(|_| unfolded(head.get(at.range()).unwrap_or_default()))
                .map_err(|_| httparse::Error::HeaderValue)?;
            if takes(&name, &value)? {
                fields.append(name, value);
            }
        }
        Ok(())
    }
}

/// Where `part` lies in `bytes`, which it is a slice of.
pub fn place_in(bytes: &[u8], part: &[u8]) -> Range<usize> {
    let from = part.as_ptr().addr() - bytes.as_ptr().addr();
    from..from + part.len()
}

/// A folded field's value on one line.
fn unfolded(bytes: &[u8]) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let flat: Vec<u8> = bytes.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect();
    HeaderValue::from_bytes(flat.trim_ascii())
}
