//! `preset = "vault"`: the browser holds one cookie, besides those that scripts must have.

use crate::support::{App, Browser, Cloakroom, line};

const HTTPS: &str = "x-forwarded-proto: https\r\n";
const VAULT: &str = "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[cookies]]\npreset = \"vault\"\n";

/// The app's cookies that the browser has.
fn held(visitor: &Browser) -> Vec<String> {
    let own = |name: &&String| !name.contains("cloakroom");
    visitor.jar.keys().filter(own).cloned().collect()
}

#[test]
fn scripts_read_the_tokens_that_the_app_means_for_them() {
    let app = App::setting();
    let proxy = Cloakroom::with(&app, VAULT);
    for name in ["csrftoken", "XSRF-TOKEN", "_xsrf", "my-CsrfToken", "_streamlit_xsrf"] {
        let mut visitor = proxy.browser();
        let set = |attributes: &str| format!("{HTTPS}{}", line(&format!("{name}={attributes}")));
        let answer = visitor.get_with("/", &set("1; Path=/"));
        let given = answer.set_cookies();
        let passed = given.iter().find(|line| line.starts_with(name)).map(String::as_str);
        assert_eq!(passed, Some(&*format!("{name}=1; Path=/; Secure; SameSite=Lax")), "{given:?}");
        assert_eq!(held(&visitor), [name]);
        assert_eq!(visitor.get_with("/", HTTPS).text(), format!("{name}=1"));
        // HttpOnly, so that no script is meant to read it: it is kept, and what the browser has does not count.
        visitor.get_with("/", &set("2; Path=/; HttpOnly"));
        assert_eq!(visitor.get_with("/", HTTPS).text(), format!("{name}=2"));
        visitor.jar.remove(name);
        assert_eq!(visitor.get_with("/", HTTPS).text(), format!("{name}=2"));
        visitor.get_with("/", &set("3; Path=/; HttpOnly"));
        assert_eq!(held(&visitor), [""; 0]);
    }
}
