//! A headless Chromium of its own for each test, driven over the WebDriver protocol.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::harness::PATIENCE;

/// Browsers are heavy: one at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// Where pictures go.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots");

pub struct Chrome {
    pub client: Client,
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Chrome {
    pub async fn start() -> Self {
        let turn = TURN.lock().await;
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=WARNING"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: scripts/install-tools test installs it");
        // Reads until its end, so that it never waits for us.
        let (said, port) = std::sync::mpsc::channel();
        let out = driver.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
                    let _ = said.send(port.trim_end_matches('.').parse::<u16>().expect("a port"));
                }
            }
        });
        let port = port.recv_timeout(PATIENCE).expect("chromedriver listens");
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1440,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        let session = client.session_id().await.expect("a session").expect("an id");
        Self { client, driver, port, session, _profile: profile, _turn: turn }
    }

    /// The value of a script that ends with `return …`.
    pub async fn js(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until the script's value is true.
    pub async fn wait(&self, what: &str, script: &str) {
        let begun = Instant::now();
        while self.js(script).await != Value::Bool(true) {
            if PATIENCE < begun.elapsed() {
                let page = self.js("return document.body.innerText.slice(0, 3000)").await;
                panic!("never happened: {what}: {script}\n{}\n{:?}", page.as_str().unwrap_or_default(), self.console());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What chromedriver has beyond the standard.
    fn extra(&self, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver accepts");
        let (body, port, session) = (body.to_string(), self.port, &self.session);
        let length = body.len();
        write!(
            stream,
            "POST /session/{session}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        // It keeps the connection open, whatever it is asked for.
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        for line in answer.by_ref().lines() {
            let line = line.expect("a head").to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).expect("a body");
        serde_json::from_slice::<Value>(&body).expect("JSON")["value"].clone()
    }

    fn devtools(&self, command: &str, params: &Value) {
        self.extra("goog/cdp/execute", &json!({ "cmd": command, "params": params }));
    }

    /// Errors and warnings on the console since this was asked last: also what the content security policy refused.
    pub fn console(&self) -> Vec<String> {
        let entries = self.extra("se/log", &json!({ "type": "browser" }));
        let serious = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        entries.as_array().into_iter().flatten().filter(serious).map(|entry| entry["message"].to_string()).collect()
    }

    pub fn set_dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] }));
    }

    /// Takes pictures of the page, wide and narrow, light and dark, and holds it to its width.
    pub async fn pictures(&self, name: &str) {
        std::fs::create_dir_all(PICTURES).expect("a folder for pictures");
        for (width, height) in [(1440, 900), (375, 812)] {
            let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
            self.devtools("Emulation.setDeviceMetricsOverride", &size);
            for theme in ["light", "dark"] {
                self.set_dark(theme == "dark");
                tokio::time::sleep(Duration::from_millis(300)).await; // it draws
                let picture = self.client.screenshot().await.expect("a picture");
                std::fs::write(Path::new(PICTURES).join(format!("{name}-{width}-{theme}.png")), picture).expect("written");
            }
            let page = self.js("return document.documentElement.scrollWidth").await;
            assert!(page.as_u64() <= Some(width), "{name} is {page} pixels wide on {width}");
        }
        self.set_dark(false);
        self.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
    }

    pub async fn stop(mut self) {
        self.client.clone().close().await.expect("Chromium ends");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Chrome {
    /// chromedriver ends its browser when it is told to end; a test that failed comes here without [`Chrome::stop`].
    fn drop(&mut self) {
        if self.driver.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = Command::new("kill").args(["-TERM", &self.driver.id().to_string()]).status();
            let _ = self.driver.wait();
        }
    }
}
