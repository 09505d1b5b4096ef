//! The dashboard's own HTML, CSS and JavaScript, as they stand in `web/`, built into the program.
//!
//! They may be kept by a browser, but are asked for again each time: the answer to what has not changed is 304. Nothing in them comes from, or goes to, another
//! host, and [`headers`] has browsers hold them to it.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Name, type, content.
macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        [$(($name, $kind, include_bytes!(concat!("web/", $name)).as_slice())),*]
    };
}

const FILES: &[(&str, &str, &[u8])] = &files![
    "index.html" HTML,
    "icon.svg" SVG,
    "base.css" CSS,
    "overview.css" CSS,
    "logs.css" CSS,
    "app.js" JS,
    "api.js" JS,
    "chart.js" JS,
    "config.js" JS,
    "dom.js" JS,
    "fields.js" JS,
    "files.js" JS,
    "format.js" JS,
    "histogram.js" JS,
    "keys.js" JS,
    "live.js" JS,
    "logs.js" JS,
    "overview.js" JS,
    "panels.js" JS,
    "query.js" JS,
    "range.js" JS,
    "rows.js" JS,
    "tail.js" JS,
    "theme.js" JS,
];

/// Only from here: no inline script or style, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

#[derive(Debug)]
struct Asset {
    name: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    gzip: Bytes,
    etag: HeaderValue,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |&(name, content_type, plain): &(&'static str, &'static str, &'static [u8])| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = gzip.write_all(plain).and_then(|()| gzip.finish()).expect("a vector takes everything");
        // Weak, since it is the same for both encodings.
        let etag = format!("W/\"{:08x}-{:x}\"", crc32fast::hash(plain), plain.len());
        Asset { name, content_type, plain, gzip: gzip.into(), etag: etag.parse().expect("visible characters") }
    };
    FILES.iter().map(asset).collect()
});

/// The dashboard's page.
pub(super) fn page(headers: &HeaderMap) -> Response {
    answer("index.html", headers)
}

/// `/web/NAME`.
pub(super) async fn web(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&name, &headers)
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else { return StatusCode::NOT_FOUND.into_response() };
    let says = |name, word: &str| headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|value| value.contains(word)));
    let common = [
        (header::ETAG, asset.etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::VARY, HeaderValue::from_static("Accept, Accept-Encoding")),
    ];
    if says(header::IF_NONE_MATCH, asset.etag.to_str().unwrap_or_default()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, asset.content_type)];
    if says(header::ACCEPT_ENCODING, "gzip") {
        (common, kind, [(header::CONTENT_ENCODING, "gzip")], asset.gzip.clone()).into_response()
    } else {
        (common, kind, asset.plain).into_response()
    }
}

/// Whether a browser wants to show the answer as a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

/// What every answer says to browsers: lines are anybody's text and are never to be taken for a page or a script.
pub(super) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that names a file which is not served, or a file that nobody serves, is a mistake.
    #[test]
    fn files_name_each_other_and_no_other_host() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/web");
        let mut on_disk: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        on_disk.sort();
        let mut served: Vec<&str> = FILES.iter().map(|file| file.0).collect();
        served.sort_unstable();
        assert_eq!(served, on_disk);
        for (name, _, bytes) in FILES {
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(text.lines().count() < 300, "{name} is too long");
            // The namespace of SVG is a name, not an address.
            assert!(!text.replace("http://www.w3.org/2000/svg", "").contains("://"), "{name} names a host");
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", "onclick=\""] {
                assert!(!text.contains(forbidden), "{name} holds {forbidden}");
            }
            for import in text.split("from \"./").skip(1) {
                let import = import.split('"').next().unwrap();
                assert!(served.contains(&import), "{name} imports {import}");
            }
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let first = answer("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        assert_eq!(answer("app.js", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("base.css", &headers).headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(answer("../assets.rs", &headers).status(), StatusCode::NOT_FOUND);
    }
}
