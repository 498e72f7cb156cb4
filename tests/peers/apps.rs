//! Real apps of a few lines each, which know nothing of sessions, behind `cloakroom run --listen … --upstream …`.

use crate::harness::legacy::Legacy;
use crate::support::Cloakroom;

/// What every legacy app must manage, whatever its language.
fn round_trip(app: &Legacy) {
    let proxy = Cloakroom::by_flags(app.address).start();
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/visit").text().trim_end(), "visits=1");
    assert_eq!(visitor.get("/visit").text().trim_end(), "visits=2");
    assert_eq!(visitor.get("/store").status, 200);
    assert_eq!(visitor.get("/read").text().trim_end(), "Zoë 100% + \"quoted\"; ü");
    visitor.get("/login?name=Zo%C3%AB");
    assert_eq!(visitor.get("/who").text().trim_end(), "Zoë");
    assert_eq!(visitor.get("/visit").text().trim_end(), "visits=3", "a login keeps the fields");
    visitor.get("/logout");
    assert_eq!(visitor.get("/who").text().trim_end(), "");
    assert_eq!(visitor.get("/visit").text().trim_end(), "visits=1", "a logout keeps nothing");
}

#[test]
fn zoe_goes_through_the_php_app_and_back() {
    round_trip(&Legacy::php());
}

#[test]
fn zoe_goes_through_the_python_app_and_back() {
    round_trip(&Legacy::python());
}

#[test]
fn zoe_goes_through_the_perl_app_and_back() {
    round_trip(&Legacy::perl());
}

#[test]
fn zoe_goes_through_the_flask_app_and_back() {
    round_trip(&Legacy::flask());
}

#[test]
fn zoe_goes_through_the_express_app_and_back() {
    round_trip(&Legacy::express());
}

#[test]
fn zoe_goes_through_the_java_app_and_back() {
    round_trip(&Legacy::java());
}
