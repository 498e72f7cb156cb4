//! Gates: what a route requires of its visitors, and where it sends the others.

use toml::de::DeValue;

use super::super::{
    scalar,
    value::{TableReader, ValueProblem},
};

/// `require`, from the laxest on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredLogin {
    /// `"nothing"`
    #[default]
    Nothing,
    /// `"session"`: one with stored data.
    Session,
    /// `"principal"`: somebody is logged in.
    Principal,
}

/// `on_unauthorized`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OnUnauthorized {
    /// `401`
    #[default]
    Unauthorized,
    /// `"/login"`: a path of this site, with a query if need be. ASCII, fit for a `Location`.
    Redirect(String),
}

/// `preflight`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreflightRule {
    /// `"require"`: they must meet what the route requires, and never do: they carry no cookie.
    #[default]
    Require,
    /// `"pass"`
    Pass,
}

/// `cross_site`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CrossSite {
    /// `"pass"`: the app protects itself.
    #[default]
    Pass,
    /// `"block"`: unsafe requests that pages of other sites make are refused.
    Block,
}

impl RequiredLogin {
    /// The words for it.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("nothing", Self::Nothing), ("session", Self::Session), ("principal", Self::Principal)];
}

impl OnUnauthorized {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let expected = "401 or a path such as \"/login\"";
        reader.optional("on_unauthorized", expected, on_unauthorized).unwrap_or_default()
    }
}

fn on_unauthorized(value: &DeValue<'_>) -> Result<OnUnauthorized, ValueProblem> {
    let Some(text) = value.as_str() else {
        return scalar::number(value, &(401..=401)).map(|_| OnUnauthorized::Unauthorized);
    };
    if text == "401" {
        return Err(ValueProblem::TYPE.help("leave the quotes out"));
    }
    if !text.starts_with('/') {
        return Err(ValueProblem::why("a path of this site begins with /"));
    }
    if text.starts_with("//") || text.starts_with("/\\") {
        return Err(ValueProblem::why("browsers would go to another site"));
    }
    if text.contains('#') {
        return Err(ValueProblem::why("no fragment: `next=` is added at the end"));
    }
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if !text.bytes().all(fits) {
        return Err(ValueProblem::why("ASCII as it stands in a URL, the rest as %XX"));
    }
    let path = text.split('?').next().unwrap_or_default();
    let lower = path.to_ascii_lowercase();
    let dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    if path.contains("//") || path.contains(';') || lower.split('/').any(dots) {
        return Err(ValueProblem::why("a path that apps read alike: no `;`, no `.`, `..` or empty segment"));
    }
    if ["%2f", "%5c", "%00"].iter().any(|escape| lower.contains(escape)) {
        return Err(ValueProblem::why("a path that apps read alike: no %2F, %5C or %00"));
    }
    Ok(OnUnauthorized::Redirect(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_paths_of_this_site() {
        for (text, fine) in [
            ("/login", true),
            ("/", true),
            ("/login/", true),
            ("/login?from=gate&x=//y", true),
            ("/caf%C3%A9", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("login", false),
            ("", false),
            ("/login#top", false),
            ("/a b", false),
            ("/caf\u{e9}", false),
            ("/a\r\nSet-Cookie: x", false),
            ("/a//b", false),
            ("/a/../b", false),
            ("/a/%2E%2e/b", false),
            ("/%2fevil.example", false),
            ("/login;x", false),
            ("401", false),
        ] {
            assert_eq!(on_unauthorized(&DeValue::String(text.into())).is_ok(), fine, "{text}");
        }
    }
}
