//! The shop's one page, as HTML for browsers and as a few lines for a terminal.

use std::fmt::Write as _;

use super::app::DemoVisitor;
use super::text::escape;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// What the shop sells.
const ITEMS: [&str; 4] = ["Winter coat", "Top hat", "Umbrella", "Zoë's scarf"];

/// The page for browsers. Each part is split at its placeholder, so no value is ever read as one.
pub(super) fn shop(visitor: &DemoVisitor) -> String {
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + 2048);
    for (number, part) in PAGE.split("{{").enumerate() {
        if number == 0 {
            page.push_str(part);
        } else if let Some((name, after)) = part.split_once("}}") {
            page.push_str(&fill(name, visitor));
            page.push_str(after);
        }
    }
    page
}

/// The same for a terminal.
pub(super) fn lines(visitor: &DemoVisitor) -> String {
    let or = |text: &str, nothing: &str| if text.is_empty() { nothing.to_owned() } else { text.to_owned() };
    format!(
        "visits: {}\nlogged in: {}\ncart: {}\nsession: {} ({})\n",
        visitor.visits,
        or(&visitor.principal, "nobody"),
        or(&visitor.cart.join(", "), "empty"),
        or(&visitor.id, "none"),
        or(&visitor.state, "no cloakroom before this app"),
    )
}

fn fill(name: &str, visitor: &DemoVisitor) -> String {
    match name {
        "style" => STYLE.to_owned(),
        "visits" => visitor.visits.to_string(),
        "who" => who(visitor),
        "items" => items(),
        "cart" => cart(visitor),
        "headers" => headers(visitor),
        _ => String::new(),
    }
}

fn who(visitor: &DemoVisitor) -> String {
    if visitor.principal.is_empty() {
        return r#"<form method="post" action="/login"><label for="name">Your name</label>
<div class="row"><input id="name" name="name" maxlength="40" required autocomplete="username"><button>Log in</button></div></form>"#
            .to_owned();
    }
    format!(
        r#"<p>Good to see you, <strong>{}</strong>.</p><form method="post" action="/logout"><button class="quiet">Log out</button></form>"#,
        escape(&visitor.principal)
    )
}

fn items() -> String {
    ITEMS.iter().fold(String::new(), |mut html, item| {
        let item = escape(item);
        // Writing to a String cannot fail.
        let _ = write!(
            html,
            r#"<li><span>{item}</span><form method="post" action="/cart/add"><button name="item" value="{item}">Add</button></form></li>"#
        );
        html
    })
}

fn cart(visitor: &DemoVisitor) -> String {
    if visitor.cart.is_empty() {
        return r#"<p class="dim">Your cart is empty.</p>"#.to_owned();
    }
    let items: String =
        visitor.cart.iter().flat_map(|item| ["<li>".to_owned(), escape(item), "</li>".to_owned()]).collect();
    format!(
        r#"<ol>{items}</ol><form method="post" action="/cart/clear"><button class="quiet">Empty the cart</button></form>"#
    )
}

fn headers(visitor: &DemoVisitor) -> String {
    if visitor.received.is_empty() {
        return "none: there is no cloakroom before this app".to_owned();
    }
    let lines = visitor.received.iter().map(|(name, value)| format!("{}: {}\n", escape(name), escape(value)));
    lines.collect()
}
