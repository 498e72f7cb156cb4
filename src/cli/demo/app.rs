//! What the shop does: reads `X-Session-*` from the request, writes instructions into the answer.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::pages;
use super::text::{decode, encode, form_field};

/// The longest cart that is asked to be kept, in bytes on the wire (a field takes 1 KiB by default).
const MAX_CART: usize = 900;
/// The longest name of a visitor or an item, in characters.
const MAX_NAME: usize = 40;

/// What the app was told about its visitor.
#[derive(Debug, Default)]
pub(super) struct DemoVisitor {
    /// `new`, `active`, `none`, `unavailable`, or nothing without cloakroom.
    pub(super) state: String,
    /// The session's public id.
    pub(super) id: String,
    /// Who is logged in; empty: nobody.
    pub(super) principal: String,
    /// How often the page was seen before this time.
    pub(super) visits: u64,
    /// Names of items.
    pub(super) cart: Vec<String>,
    /// The `X-Session-*` headers as they came.
    pub(super) received: Vec<(String, String)>,
}

impl DemoVisitor {
    fn read(headers: &HeaderMap) -> Self {
        let field = |name: &str| headers.get(name).map(|value| decode(value.as_bytes())).unwrap_or_default();
        let received = headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-session-"))
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let cart = field("x-session-cart");
        Self {
            state: field("x-session-state"),
            id: field("x-session-id"),
            principal: field("x-session-principal"),
            visits: field("x-session-visits").parse().unwrap_or(0),
            cart: cart.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect(),
            received,
        }
    }
}

/// Answers one request.
pub(super) fn answer(head: &Parts, form: &[u8]) -> Response<Bytes> {
    let visitor = DemoVisitor::read(&head.headers);
    let post = head.method == Method::POST;
    match head.uri.path() {
        "/" if matches!(head.method, Method::GET | Method::HEAD) => shop(head, visitor),
        "/login" if post => {
            let name: String = form_field(form, "name").chars().take(MAX_NAME).collect();
            // An empty name would log out.
            if name.is_empty() { back() } else { told(back(), "x-session-principal", &encode(&name)) }
        }
        "/logout" if post => told(back(), "x-session-principal", ""),
        "/forget" if post => told(back(), "x-session-action", "destroy"),
        "/cart/add" if post => add(visitor, &form_field(form, "item")),
        "/cart/clear" if post => told(back(), "x-session-unset", "cart"),
        "/" | "/login" | "/logout" | "/forget" | "/cart/add" | "/cart/clear" => {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "not this method here\n");
            let allowed = if head.uri.path() == "/" { "GET, HEAD" } else { "POST" };
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            refused
        }
        _ => plain(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

fn shop(head: &Parts, mut visitor: DemoVisitor) -> Response<Bytes> {
    visitor.visits = visitor.visits.saturating_add(1);
    let html = head
        .headers
        .get_all(ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|accepted| accepted.contains("text/html")));
    let page = if html {
        let mut page = Response::new(Bytes::from(pages::shop(&visitor)));
        page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        page
    } else {
        plain(StatusCode::OK, pages::lines(&visitor))
    };
    told(page, "x-session-set-visits", &visitor.visits.to_string())
}

fn add(mut visitor: DemoVisitor, item: &str) -> Response<Bytes> {
    let item: String = item.chars().filter(|letter| *letter != ',').take(MAX_NAME).collect();
    if item.is_empty() {
        return back();
    }
    visitor.cart.push(item);
    let cart = encode(&visitor.cart.join(","));
    if cart.len() > MAX_CART { back() } else { told(back(), "x-session-set-cart", &cart) }
}

/// 303 to the shop.
fn back() -> Response<Bytes> {
    let mut back = plain(StatusCode::SEE_OTHER, "");
    back.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    back
}

/// Adds an instruction for cloakroom; its value is ASCII by construction.
fn told(mut answer: Response<Bytes>, name: &'static str, value: &str) -> Response<Bytes> {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::answer;
    use bytes::Bytes;
    use http::{Request, Response};

    fn ask(method: &str, path: &str, headers: &[(&str, &str)], form: &str) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&request.body(()).unwrap().into_parts().0, form.as_bytes())
    }

    #[test]
    fn a_visit_is_counted_in_the_field_alone() {
        let page = ask("GET", "/", &[("x-session-visits", "4")], "");
        assert_eq!(page.headers()["x-session-set-visits"], "5");
        assert!(!page.headers().contains_key("set-cookie"));
    }

    #[test]
    fn a_login_names_the_principal_in_ascii() {
        let page = ask("POST", "/login", &[], "name=Zo%C3%AB+M");
        assert_eq!((page.status().as_u16(), &page.headers()["location"]), (303, &"/".parse().unwrap()));
        assert_eq!(page.headers()["x-session-principal"], "Zo%C3%AB%20M");
        assert!(!ask("POST", "/login", &[], "name=").headers().contains_key("x-session-principal"));
        assert_eq!(ask("POST", "/logout", &[], "").headers()["x-session-principal"], "");
    }

    #[test]
    fn an_item_joins_the_cart() {
        let page = ask("POST", "/cart/add", &[("x-session-cart", "Coat%2CTop%20hat")], "item=Umbrella");
        assert_eq!(page.headers()["x-session-set-cart"], "Coat%2CTop%20hat%2CUmbrella");
        assert_eq!(ask("POST", "/cart/clear", &[], "").headers()["x-session-unset"], "cart");
    }

    #[test]
    fn what_visitors_say_is_escaped_in_the_page() {
        let page = ask("GET", "/", &[("accept", "text/html"), ("x-session-principal", "%3Cb%3E")], "");
        let text = String::from_utf8_lossy(page.body()).into_owned();
        assert!(text.contains("&lt;b&gt;") && !text.contains("<b>"), "{text}");
        assert!(!text.contains("{{"), "a placeholder is left: {text}");
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        assert_eq!(ask("GET", "/login", &[], "").status(), 405);
        assert_eq!(ask("GET", "/favicon.ico", &[], "").status(), 404);
    }
}
