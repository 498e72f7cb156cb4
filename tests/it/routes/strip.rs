//! `strip_prefix`: an app that believes it lives at `/`, below a path of its own.

use crate::support::{App, Browser, Cloakroom, obey, orders};

/// An app at `/shop`, and another at `/`.
fn mounted(more: &str) -> (App, App, Cloakroom) {
    let (shop, rest) = (App::start(obey), App::start(obey));
    let routes = format!(
        "[upstreams.shop]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n\
         [[routes]]\npath = \"/shop\"\nupstream = \"shop\"\nstrip_prefix = true\n{more}",
        shop.address
    );
    let proxy = Cloakroom::before(rest.address).config(&routes).start();
    (shop, rest, proxy)
}

#[test]
fn strip_prefix_sends_the_rest_and_x_forwarded_prefix() {
    let (shop, rest, proxy) = mounted("");
    let mut visitor = proxy.browser();
    for (path, wanted) in [
        ("/shop", "/"),
        ("/shop?a=/shop/b", "/?a=/shop/b"),
        ("/shop/", "/"),
        ("/shop/a/b?c", "/a/b?c"),
        ("/shop/a%2Fb%20c;v=1", "/a%2Fb%20c;v=1"),
        ("/shop/a/../b", "/a/../b"),
        ("/shop//evil.test/", "/evil.test/"),
        ("/shop/shop", "/shop"),
    ] {
        assert_eq!(visitor.get_with(path, "x-forwarded-prefix: /lie\r\n").status, 200, "{path}");
        assert_eq!(
            (shop.last().path(), shop.last().all("x-forwarded-prefix")),
            (wanted, vec!["/shop".into()])
        );
    }
    assert_eq!(visitor.get("/shopping").status, 200);
    assert_eq!((rest.last().path(), rest.last().header("x-forwarded-prefix")), ("/shopping", None));
    let absolute = format!("GET http://{}/shop/x HTTP/1.1\r\nhost: a\r\n\r\n", proxy.address);
    assert_eq!(visitor.send_raw(absolute.as_bytes()).status, 200);
    assert_eq!(shop.last().path(), "/x");
}

#[test]
fn no_spelling_leads_out_of_the_part_that_was_taken_off() {
    let (shop, rest, proxy) =
        mounted("[[routes]]\npath = \"/shop/shop/admin\"\nupstream = \"app\"\nrequire = \"principal\"");
    let mut visitor = proxy.browser();
    for path in [
        "/shop/../shop/shop/admin",
        "/shop/../shop/admin",
        "/shop/%2e%2e/shop/admin",
        "/shop/..;/shop/admin",
        "/shop/..%2fshop/admin",
        "/shop/..\\shop/admin",
        "/shop/x/../../shop/admin",
        "/shop/x/..%5c../shop/admin",
        "/shop/..",
        "/shop/../x",
        "//shop/admin",
        "/./shop/admin",
        "/%73hop/../shop/admin",
        "/shop;x/admin",
        "/shop%2fadmin",
    ] {
        let answer = visitor.get(path);
        assert!(matches!(answer.status, 400 | 401), "{path}: {}", answer.start);
    }
    assert_eq!((shop.received().len(), rest.received().len()), (0, 0));
}

fn header(visitor: &mut Browser, path: &str, name: &str, value: &str) -> String {
    let answer = visitor.get_with(path, &orders(&[&format!("{name}: {value}")]));
    answer.header(name).unwrap_or_default()
}

#[test]
fn where_the_app_points_to_is_below_its_path() {
    let (shop, _rest, proxy) = mounted("");
    let mut visitor = proxy.browser();
    let (seen, own) = (proxy.address, shop.address);
    for name in ["location", "content-location"] {
        for (path, value, wanted) in [
            ("/shop/x", "/login?next=/x".to_owned(), "/shop/login?next=/x".to_owned()),
            ("/shop/x", "/shop/login".to_owned(), "/shop/login".to_owned()),
            ("/shop/x", format!("http://{own}/login"), format!("http://{seen}/shop/login")),
            ("/shop/x", format!("http://{seen}/login"), format!("http://{seen}/shop/login")),
            ("/shop/x", format!("//{seen}/login"), format!("//{seen}/shop/login")),
            ("/shop/x", "https://elsewhere.test/x".to_owned(), "https://elsewhere.test/x".to_owned()),
            ("/shop/x", "login".to_owned(), "login".to_owned()),
            ("/shop", "login".to_owned(), "/shop/login".to_owned()),
            ("/x", "/login".to_owned(), "/login".to_owned()),
        ] {
            assert_eq!(header(&mut visitor, path, name, &value), wanted, "{path} {value}");
        }
    }
    assert_eq!(header(&mut visitor, "/shop/x", "refresh", "5; url=/y"), "5; url=/shop/y");
    // Behind a proxy that says which host the visitor sees, an app may name that one or its own.
    let (_shop, _rest, proxy) = mounted("[process]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    for (named, wanted) in [("seen.test", "seen.test"), ("inner.test", "inner.test")] {
        let mut wire = proxy.dial();
        let order = orders(&[&format!("location: https://{named}/y")]);
        wire.send(format!(
            "GET /shop/x HTTP/1.1\r\nhost: inner.test\r\nx-forwarded-host: seen.test\r\n{order}\r\n"
        ));
        let location = wire.answer(false).header("location");
        assert_eq!(location, Some(format!("https://{wanted}/shop/y")), "{named}");
    }
}

#[test]
fn strip_prefix_adapts_cookie_paths() {
    let (_shop, _rest, proxy) = mounted("[[cookies]]\nname = \"ruled\"\npath = \"/\"");
    let mut visitor = proxy.browser();
    for (path, line, wanted) in [
        ("/shop/x", "a=1; Path=/; HttpOnly", "a=1; Path=/shop; HttpOnly"),
        ("/shop/x", "a=1; path=/x", "a=1; path=/shop/x"),
        ("/shop/x", "a=1; Path=/shop/x", "a=1; Path=/shop/x"),
        ("/shop/x", "a=1", "a=1"),
        ("/shop", "a=1", "a=1; Path=/shop"),
        ("/shop/x", "__Host-a=1; Path=/; Secure", "__Host-a=1; Path=/; Secure"),
        ("/shop/x", "ruled=1; Path=/x", "ruled=1; Path=/"),
        ("/x", "a=1; Path=/", "a=1; Path=/"),
    ] {
        let answer = visitor.get_with(path, &orders(&[&format!("set-cookie: {line}")]));
        let set: Vec<_> = answer.set_cookies().into_iter().filter(|l| !l.starts_with("cloakroom=")).collect();
        assert_eq!(set, [wanted], "{path} {line}");
    }
    let first = proxy.browser().get("/shop/x");
    let ticket = first.set_cookies().swap_remove(0) + ";";
    assert!(ticket.contains("; Path=/;"), "{ticket}");
}

#[test]
fn a_kept_cookie_goes_back_to_where_the_app_set_it() {
    let (shop, _rest, proxy) = mounted("[[cookies]]\nname = \"*\"\naction = \"keep\"");
    let mut visitor = proxy.browser();
    visitor.get_with("/shop/x", &orders(&["set-cookie: root=1; Path=/", "set-cookie: deep=1; Path=/deep"]));
    for (path, wanted) in [("/shop/y", "root=1"), ("/shop", "root=1"), ("/shop/deep/z", "deep=1; root=1")] {
        visitor.get(path);
        assert_eq!(shop.last().header("cookie").as_deref(), Some(wanted), "{path}");
    }
}
