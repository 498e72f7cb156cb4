//! What outlives a process and a key: kept and sealed cookies.

use crate::support::{App, Browser, Cloakroom, eventually, key, on_disk};

const RULES: &str = "[[cookies]]\nname = \"k*\"\naction = \"keep\"\n\
                     [[cookies]]\nname = \"s*\"\naction = \"seal\"\nbind = \"session\"\n";

/// The visitor goes on with another process on the same store.
fn moved(visitor: &Browser, proxy: &Cloakroom) -> Browser {
    let mut there = proxy.browser();
    there.jar.clone_from(&visitor.jar);
    there
}

#[test]
fn kept_and_sealed_cookies_outlive_the_process_and_the_key() {
    let app = App::setting();
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| key(folder.path(), name));
    let proxy = |keys: &str| {
        let config = format!("{RULES}{}\n[keys]\n{keys}\n", on_disk(&folder.path().join("store")));
        Cloakroom::before(app.address).config(&config).start()
    };
    let mut before = proxy(&format!("current = {one}"));
    let mut visitors: Vec<Browser> = (0..20).map(|_| before.browser()).collect();
    let all = "k1=a; Path=/; SameSite=None|k2=\"b, c\"; Path=/x; Max-Age=1000|k3=; Max-Age=0|k=\u{fc}; SameSite=Strict|s=sealed";
    let lines = format!("x-line: {}\r\n", all.replace('|', "\r\nx-line: "));
    for visitor in &mut visitors {
        visitor.get_with("/", &lines);
        assert_eq!(visitor.get("/x").text(), "s=sealed; k2=\"b, c\"; k1=a; k=\u{fc}");
    }
    before.kill();
    before.exit();
    let mut rotated = proxy(&format!("current = {two}\nprevious = [{one}]"));
    for visitor in &mut visitors {
        let mut there = moved(visitor, &rotated);
        assert_eq!(there.get("/x").text(), "s=sealed; k2=\"b, c\"; k1=a; k=\u{fc}", "under a previous key");
        there.get_with("/", "x-line: s=again\r\n");
        there.get("/");
        visitor.jar = there.jar;
    }
    rotated.kill();
    rotated.exit();
    let after = proxy(&format!("current = {three}\nprevious = [{two}, {one}]"));
    for visitor in &visitors {
        assert_eq!(moved(visitor, &after).get("/").text(), "s=again; k1=a; k=\u{fc}", "and of two before");
    }
}

#[test]
fn key_may_be_dropped_once_the_log_says_so() {
    let app = App::scripted();
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| key(folder.path(), name));
    let proxy = |keys: &str| {
        let config = format!("{}\n[keys]\n{keys}\n", on_disk(&folder.path().join("store")));
        Cloakroom::before(app.address).config(&config).start()
    };
    let mut before = proxy(&format!("current = {one}"));
    let mut visitors: Vec<Browser> = (0..300).map(|_| before.browser()).collect();
    for (n, visitor) in visitors.iter_mut().enumerate() {
        visitor.answered("/", &[&format!("X-Session-Set-N: {n}")]);
    }
    // That their cookies came back is on disk too: nothing more will be written of them.
    for visitor in &mut visitors {
        visitor.get("/");
    }
    before.terminate();
    before.exit();
    let mut rotated = proxy(&format!("current = {two}\nprevious = [{one}]"));
    eventually("all are sealed anew", || rotated.log().contains("the store needs no previous key any more"));
    // Their tickets are signed anew when they come.
    for (n, visitor) in visitors.iter_mut().enumerate() {
        let mut there = moved(visitor, &rotated);
        assert_eq!(there.get("/").set_cookies().len(), 1, "{n}: {}", rotated.log());
        visitor.jar = there.jar;
    }
    rotated.kill();
    rotated.exit();
    let after = proxy(&format!("current = {two}"));
    for (n, visitor) in visitors.iter().enumerate() {
        let page = moved(visitor, &after).get("/");
        assert_eq!(page.fields(), format!("n={n}"), "{}", page.text());
    }
    assert!(!after.log().contains("ERROR"), "{}", after.log());
}
