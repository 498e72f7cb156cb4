//! What people have of a request when they ask about it: the request itself, `curl -v`, a browser's "copy as cURL", or the
//! header list that its developer tools show of HTTP/2. Each is made one raw request of HTTP/1.1.

/// A request as it would come over HTTP/1.1, and whether the text says that it was https.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestText {
    pub(super) raw: Vec<u8>,
    pub(super) https: bool,
}

/// Why a text is no request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum RequestTextError {
    #[error("the curl command names no URL")]
    NoUrl,
    #[error("the curl command has a quote without an end")]
    Quote,
    #[error("the curl command has {0}, which is not understood here; leave it out if it does not matter")]
    Option(String),
}

/// Options of curl without an argument that change nothing here.
const IGNORED: [&str; 14] = [
    "--compressed",
    "-s",
    "--silent",
    "-S",
    "-v",
    "--verbose",
    "-k",
    "--insecure",
    "-L",
    "--location",
    "-i",
    "--include",
    "--http2",
    "--http1.1",
];

impl RequestText {
    /// Reads whichever of them it is.
    ///
    /// # Errors
    /// It is a curl command that is not understood. What is no request at all is told by whoever reads the result.
    pub(super) fn read(text: &[u8]) -> Result<Self, RequestTextError> {
        let Ok(words) = std::str::from_utf8(text) else {
            return Ok(Self { raw: text.to_vec(), https: false });
        };
        let trimmed = words.trim_start_matches(['$', ' ', '\n', '\r']);
        if trimmed.starts_with("curl ") {
            return Self::of_command(trimmed);
        }
        if words.lines().any(|line| line.starts_with("> ")) {
            return Ok(Self::of_verbose(words));
        }
        if words.lines().any(|line| line.starts_with(":method")) {
            return Ok(Self::of_pseudo_fields(words));
        }
        Ok(Self { raw: as_http1(words).into_bytes(), https: false })
    }

    /// Lines that `curl -v` has sent begin with `>`.
    fn of_verbose(text: &str) -> Self {
        let sent = text.lines().filter_map(|line| line.strip_prefix('>'));
        let head = sent.map(str::trim).collect::<Vec<_>>().join("\r\n");
        let https =
            text.lines().any(|line| line.starts_with('*') && (line.contains("SSL") || line.contains("TLS")));
        Self { raw: as_http1(&format!("{}\r\n\r\n", head.trim_end())).into_bytes(), https }
    }

    /// `:method`, `:path`, `:authority`, `:scheme`, and the fields; one in a line, or name and value in turn.
    fn of_pseudo_fields(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let (mut method, mut path, mut host, mut https) = ("GET", "/", "", false);
        let mut fields = String::new();
        while let Some(line) = lines.next() {
            let from = usize::from(line.starts_with(':'));
            let Some(at) = line.get(from..).and_then(|rest| rest.find(':')).map(|at| at + from) else {
                continue;
            };
            let (name, value) = (&line[..at], line[at + 1..].trim());
            let value = if value.is_empty() { lines.next().unwrap_or_default() } else { value };
            match name.to_ascii_lowercase().as_str() {
                ":method" => method = value,
                ":path" => path = value,
                ":authority" => host = value,
                ":scheme" => https = value == "https",
                _ => fields.extend([name, ": ", value, "\r\n"]),
            }
        }
        Self { raw: format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n").into_bytes(), https }
    }

    fn of_command(text: &str) -> Result<Self, RequestTextError> {
        let mut words = shell_words(text)?.into_iter().skip(1);
        let (mut method, mut url, mut body) = (None, None, None);
        let mut fields = Vec::new();
        while let Some(word) = words.next() {
            let mut argument = || words.next().unwrap_or_default();
            match word.as_str() {
                "-H" | "--header" => fields.push(argument()),
                "-b" | "--cookie" => fields.push(format!("cookie: {}", argument())),
                "-A" | "--user-agent" => fields.push(format!("user-agent: {}", argument())),
                "-e" | "--referer" => fields.push(format!("referer: {}", argument())),
                "-X" | "--request" => method = Some(argument()),
                "-I" | "--head" => method = Some("HEAD".to_owned()),
                "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-ascii" => body = Some(argument()),
                "--url" => url = Some(argument()),
                "-o" | "--output" => drop(argument()),
                ignored if IGNORED.contains(&ignored) => {}
                option if option.starts_with('-') => return Err(RequestTextError::Option(option.to_owned())),
                _ => url = Some(word),
            }
        }
        let url = url.ok_or(RequestTextError::NoUrl)?;
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(at);
        let target = target.split('#').next().unwrap_or_default();
        let slash = if target.starts_with('/') { "" } else { "/" };
        let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
        let mut raw = format!("{method} {slash}{target} HTTP/1.1\r\n");
        let says = |name: &str| {
            fields.iter().any(|field| {
                field.split(':').next().is_some_and(|said| said.trim().eq_ignore_ascii_case(name))
            })
        };
        if !says("host") {
            raw.extend(["host: ", host, "\r\n"]);
        }
        if let Some(body) = body.as_ref().filter(|_| !says("content-length")) {
            raw.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        for field in &fields {
            raw.extend([field.as_str(), "\r\n"]);
        }
        raw.extend(["\r\n", body.as_deref().unwrap_or_default()]);
        Ok(Self { raw: raw.into_bytes(), https: scheme == "https" })
    }
}

/// A later version is asked in the words of HTTP/1.1.
fn as_http1(text: &str) -> String {
    let (start, rest) = text.split_once('\n').unwrap_or((text, ""));
    let newer =
        [" HTTP/2", " HTTP/2.0", " HTTP/3"].iter().find_map(|version| start.trim_end().strip_suffix(version));
    match newer {
        Some(start) => format!("{start} HTTP/1.1\r\n{rest}"),
        None => text.to_owned(),
    }
}

/// Words as a POSIX shell, and bash's `$'…'`, would part them.
fn shell_words(text: &str) -> Result<Vec<String>, RequestTextError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                // A command that goes on in the next line.
                Some('\n') | None => {}
                Some('\r') => drop(letters.next_if_eq(&'\n')),
                Some(other) => word.get_or_insert_default().push(other),
            },
            '$' if letters.peek() == Some(&'\'') => {
                letters.next();
                quoted(&mut letters, '\'', true, word.get_or_insert_default())?;
            }
            '\'' => quoted(&mut letters, '\'', false, word.get_or_insert_default())?,
            '"' => quoted(&mut letters, '"', true, word.get_or_insert_default())?,
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Up to the quote; `escapes`: a backslash has a meaning within it.
fn quoted(
    letters: &mut impl Iterator<Item = char>,
    quote: char,
    escapes: bool,
    word: &mut String,
) -> Result<(), RequestTextError> {
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter == quote => return Ok(()),
            '\\' if escapes => match letters.next() {
                Some('n') if quote == '\'' => word.push('\n'),
                Some('r') if quote == '\'' => word.push('\r'),
                Some('t') if quote == '\'' => word.push('\t'),
                Some(other) => word.push(other),
                None => return Err(RequestTextError::Quote),
            },
            other => word.push(other),
        }
    }
    Err(RequestTextError::Quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, bool) {
        let read = RequestText::read(text.as_bytes()).unwrap();
        (String::from_utf8(read.raw).unwrap(), read.https)
    }

    #[test]
    fn each_form_is_the_same_request() {
        let wanted = "GET /a?b=c HTTP/1.1\r\nhost: shop.test\r\ncookie: x=1; cloakroom=y\r\n\r\n";
        for (text, https) in [
            (wanted, false),
            ("GET /a?b=c HTTP/2\r\nhost: shop.test\r\ncookie: x=1; cloakroom=y\r\n\r\n", false),
            (
                "* Connected to shop.test\n* SSL connection using TLSv1.3\n> GET /a?b=c HTTP/2\n> host: shop.test\n\
                 > cookie: x=1; cloakroom=y\n> \n< HTTP/2 200\n< server: y\n",
                true,
            ),
            ("curl 'https://shop.test/a?b=c' \\\n  -H 'cookie: x=1; cloakroom=y' \\\n  --compressed\n", true),
            ("$ curl http://shop.test/a?b=c#d -b \"x=1; cloakroom=y\" -s -o /dev/null", false),
            ("curl --url http://shop.test/a?b=c -H $'cookie: x=1; cloakroom=\\y'", false),
            (
                ":authority: shop.test\n:method: GET\n:path: /a?b=c\n:scheme: https\ncookie: x=1; cloakroom=y\n",
                true,
            ),
            (
                ":authority:\nshop.test\n:method:\nGET\n:path:\n/a?b=c\n:scheme:\nhttps\ncookie:\nx=1; cloakroom=y",
                true,
            ),
        ] {
            assert_eq!(read(text), (wanted.to_owned(), https), "{text}");
        }
    }

    #[test]
    fn a_command_with_a_body_posts_it() {
        let (raw, https) = read("curl -H 'content-type: text/plain' -d 'it'\\''s' https://shop.test");
        let wanted =
            "POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 4\r\ncontent-type: text/plain\r\n\r\nit's";
        assert_eq!((raw.as_str(), https), (wanted, true));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, wanted) in [
            ("curl -H a:b", RequestTextError::NoUrl),
            ("curl 'http://a", RequestTextError::Quote),
            ("curl --form a=b http://a", RequestTextError::Option("--form".to_owned())),
        ] {
            assert_eq!(RequestText::read(text.as_bytes()), Err(wanted), "{text}");
        }
    }
}
