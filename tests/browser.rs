//! The dashboard in a real browser, against the real daemon. Each test's name ends in `in_a_browser`, so that a machine without one can leave them out by
//! that name; they fail where Chromium or chromedriver is missing.
#![allow(unreachable_pub, reason = "the harness is shared by several test binaries")]
#![allow(dead_code, reason = "and not all of it is used here")]

#[path = "browser/chrome.rs"]
mod chrome;
#[path = "daemon/harness.rs"]
mod harness;

use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::Value;

use chrome::Chrome;
use harness::{TestDaemon, loadgen, temp_dir};

const ROWS: &str = "document.querySelectorAll('tr.line').length";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

/// Traffic until it is dropped.
struct Load(Child);

impl Load {
    fn start(daemon: &TestDaemon) -> Self {
        let target = format!("tcp://{}", daemon.tcp);
        let mut command = Command::new(loadgen());
        command.args(["run", "--target", &target, "--clients", "2", "--rate", "500", "--duration", "10m"]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("loadgen starts"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn find(client: &Client, css: &str) -> fantoccini::elements::Element {
    client.wait().for_element(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
}

async fn search(chrome: &Chrome, query: &str) {
    let input = find(&chrome.client, "#query").await;
    input.clear().await.expect("cleared");
    input.send_keys(query).await.expect("typed");
    input.send_keys(&String::from(char::from(Key::Enter))).await.expect("typed");
}

fn assert_quiet(chrome: &Chrome) {
    let console = chrome.console();
    assert!(console.is_empty(), "{console:?}");
}

#[test]
fn numbers_move_and_a_silent_daemon_is_noticed_in_a_browser() {
    run(async {
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--tag", "payment=service:payment"]);
        let load = Load::start(&daemon);
        let chrome = Chrome::start().await;
        chrome.client.goto(&format!("http://{}/", daemon.http)).await.expect("loaded");
        chrome.wait("it is live", "return document.getElementById('state').dataset.state === 'ok'").await;
        let received = "Number(document.querySelector('.sum b').textContent.replaceAll(',', ''))";
        chrome.wait("lines are counted", &format!("window.first = {received}; return window.first > 0")).await;
        chrome.wait("the count moves", &format!("return {received} > window.first")).await;
        chrome.wait("a rate", "return /^[1-9].*\\/s$/.test(document.querySelector('.tile dd').textContent)").await;
        // Each chart has drawn something else than its axes: pixels in the colour of its first series.
        let drawn = "return [...document.querySelectorAll('.chart')].slice(0, 3).every(chart => {
            const canvas = chart.querySelector('canvas');
            const wanted = getComputedStyle(chart.querySelector('.swatch')).backgroundColor.match(/\\d+/g).map(Number);
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 250 && wanted.every((c, n) => Math.abs(c - data[i + n]) < 3)) return true;
            return false;
        })";
        chrome.wait("charts are drawn", drawn).await;
        chrome.wait("sources", "return document.querySelector('[aria-label=Sources]').textContent.includes('127.0.0.1')").await;
        chrome.wait("tags", "return document.querySelector('[aria-label=Tags]').textContent.includes('payment')").await;
        assert_eq!(chrome.js("return document.body.innerText.includes('[object')").await, false);
        chrome.pictures("overview").await;

        // What a reader sees by keyboard, and after a while.
        chrome.js("document.querySelector('.chart canvas').focus()").await;
        let canvas = chrome.client.active_element().await.expect("focus");
        canvas.send_keys(&String::from(char::from(Key::Left))).await.expect("typed");
        chrome.wait("a reading", "return /\\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('.chart-when').textContent)").await;

        // The theme is the system's until somebody chooses.
        let background = "getComputedStyle(document.documentElement).backgroundColor";
        let light = chrome.js(&format!("return {background}")).await;
        chrome.set_dark(true);
        chrome.wait("dark", &format!("return {background} !== {light}")).await;
        find(&chrome.client, "#theme").await.click().await.expect("clicked"); // light
        chrome.wait("light", &format!("return {background} === {light}")).await;
        chrome.client.goto(&format!("http://{}/metrics", daemon.http)).await.expect("loaded");
        chrome
            .wait("the page, and the choice", &format!("return {background} === {light} && document.querySelectorAll('.chart').length > 0"))
            .await;
        chrome.wait("history", "return document.querySelector('.sum b').textContent !== '–'").await;
        assert_quiet(&chrome);

        daemon.signal("STOP");
        chrome.wait("a banner", "return !document.getElementById('banner').hidden").await;
        daemon.signal("CONT");
        chrome.wait("it is live again", "return document.getElementById('banner').hidden").await;
        chrome.stop().await;
        drop(load);
        daemon.stop();
    });
}

/// Lines of the last minutes, one of which would be dangerous if it were taken for HTML.
fn lines() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let line = |n: u64| {
        let (level, service) = (["INFO", "WARN", "ERROR"][n as usize % 3], ["auth", "api"][n as usize % 2]);
        format!(
            "{{\"ts\":{},\"level\":\"{level}\",\"service\":\"{service}\",\"message\":\"request r{n}x done\",\"big\":12345678901234567890}}\n",
            now - 600 + n / 5
        )
    };
    let html = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>";
    let dangerous =
        format!("{{\"ts\":{},\"level\":\"{html}\",\"service\":\"{html}\",\"message\":\"{html}\",\"{html}\":\"{html}\"}}\n", now - 1);
    (0..1_500).map(line).collect::<String>() + &dangerous
}

#[test]
fn lines_are_found_opened_filtered_and_shared_in_a_browser() {
    run(async {
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--rotate-size", "50kB"]);
        daemon.send(lines().as_bytes());
        let chrome = Chrome::start().await;
        chrome.client.goto(&format!("http://{}/#/overview", daemon.http)).await.expect("loaded");
        let body = find(&chrome.client, "body").await;
        body.send_keys("/").await.expect("typed");
        chrome.wait("the search box has focus", "return document.activeElement.id === 'query'").await;
        chrome.wait("lines, the newest first", &format!("return {ROWS} === 200")).await;

        // Text stays text.
        chrome.js("document.querySelector('tr.line').click()").await;
        chrome.wait("fields", "return document.querySelectorAll('.detail tr').length === 5").await;
        assert_eq!(
            chrome.js("return document.querySelectorAll('main img, main script').length === 0 && window.hacked === undefined").await,
            true
        );
        chrome.pictures("logs").await;

        find(&chrome.client, ".more").await.click().await.expect("clicked");
        chrome.wait("more lines", &format!("return {ROWS} === 400")).await;
        let shown = chrome.js("return [...document.querySelectorAll('tr.line .message')].map(cell => cell.textContent)").await;
        let mut shown: Vec<&str> = shown.as_array().expect("texts").iter().filter_map(Value::as_str).collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), 400, "each line once");

        search(&chrome, "r1234x").await;
        chrome
            .wait(
                "one line",
                &format!("return {ROWS} === 1 && document.querySelector('tr.line .message').textContent === 'request r1234x done'"),
            )
            .await;
        let input = find(&chrome.client, "#query").await;
        input.send_keys(&String::from(char::from(Key::Down))).await.expect("typed");
        let row = chrome.client.active_element().await.expect("focus");
        row.send_keys(&String::from(char::from(Key::Enter))).await.expect("typed");
        chrome.wait("its number is whole", "return document.querySelector('.detail').textContent.includes('12345678901234567890')").await;
        chrome.js("[...document.querySelectorAll('.field-value')].find(value => value.textContent === 'auth').click()").await;
        chrome.wait("a filter", "return document.getElementById('query').value === 'r1234x service:auth'").await;
        chrome.wait("the same line", &format!("return {ROWS} === 1")).await;
        chrome
            .js("document.querySelector('tr.line').click(); document.querySelector('[title^=\"Without lines with this service\"]').click()")
            .await;
        chrome.wait("the filter turned around", "return document.getElementById('query').value === 'r1234x -service:auth'").await;
        chrome.wait("nothing", "return document.querySelector('.empty strong')?.textContent === 'No line matches'").await;

        // chromedriver's log has refused requests as errors: nothing else may be there.
        assert_quiet(&chrome);
        search(&chrome, "done (level:loud").await;
        chrome.wait("the place of the mistake", "return document.getElementById('query-error').textContent.includes('column 13')").await;
        let refused = chrome.console();
        assert!(refused.iter().all(|line| line.contains("400")), "{refused:?}");

        search(&chrome, "level>=warn").await;
        chrome.wait("matches", "return document.querySelector('.status').textContent.startsWith('1,000 matches')").await;
        zoom(&chrome).await;
        chrome.wait("a zoom", "return /from=.*&to=/.test(location.hash)").await;
        let zoomed = "const found = /^([\\d,]+) matches/.exec(document.querySelector('.status').textContent); return found !== null && Number(found[1].replaceAll(',', '')) < 1000";
        chrome.wait("fewer matches", zoomed).await;
        let status = "document.querySelector('.status').textContent.split(' · ')[0]";
        let before = chrome.js(&format!("return {status}")).await;
        let address = chrome.client.current_url().await.expect("an address");
        chrome.client.goto("about:blank").await.expect("loaded");
        chrome.client.goto(address.as_str()).await.expect("loaded");
        chrome
            .wait("the link shows the same", &format!("return document.querySelector('.status') !== null && {status} === {before}"))
            .await;
        assert_quiet(&chrome);
        chrome.stop().await;
        daemon.stop();
    });
}

/// Drags over the middle of the histogram, where the lines are.
async fn zoom(chrome: &Chrome) {
    let at = chrome.js("const box = document.querySelector('.histogram canvas').getBoundingClientRect(); return [box.left, box.top, box.width].map(Math.round)").await;
    let [left, top, width] = [0, 1, 2].map(|n| at[n].as_i64().expect("a number"));
    let to = |x: i64| PointerAction::MoveTo { duration: None, x: x as f64, y: (top + 50) as f64 };
    let drag = MouseActions::new("mouse".to_owned())
        .then(to(left + width * 85 / 100))
        .then(PointerAction::Down { button: 0 })
        .then(to(left + width * 90 / 100))
        .then(to(left + width * 94 / 100))
        .then(PointerAction::Up { button: 0 });
    chrome.client.perform_actions(drag).await.expect("dragged");
}

#[test]
fn lines_come_live_in_a_browser() {
    run(async {
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--shards", "1"]);
        daemon.send(lines().as_bytes());
        let chrome = Chrome::start().await;
        chrome.client.goto(&format!("http://{}/#/logs?q=service:live", daemon.http)).await.expect("loaded");
        chrome.wait("nothing yet", "return document.querySelector('.status')?.textContent === 'No match'").await;
        find(&chrome.client, "#live").await.click().await.expect("clicked");
        chrome.wait("it listens", "return document.querySelector('.status').textContent.startsWith('Waiting')").await;
        let line = |n: u32| {
            format!(
                "{{\"ts\":\"2026-11-24T15:00:00Z\",\"level\":\"ERROR\",\"service\":\"live\",\"message\":\"number {n}\"}}\n{{\"service\":\"other\"}}\n"
            )
        };
        daemon.send((0..3).map(line).collect::<String>().as_bytes());
        let newest = "document.querySelector('tr.line .message')?.textContent";
        chrome.wait("three lines, the newest first", &format!("return {ROWS} === 3 && {newest} === 'number 2'")).await;
        assert_eq!(chrome.js("return document.querySelector('tr.line .level').textContent").await, "ERROR");
        daemon.send(line(3).as_bytes());
        chrome.wait("one more", &format!("return {ROWS} === 4 && {newest} === 'number 3'")).await;
        chrome.pictures("live").await;
        find(&chrome.client, "#live").await.click().await.expect("clicked");
        daemon.wait_for("nobody listens", |daemon| daemon.stats()["tails"]["listening"] == 0);
        assert_quiet(&chrome);
        chrome.stop().await;
        daemon.stop();
    });
}

#[test]
fn files_and_settings_are_shown_in_a_browser() {
    run(async {
        let dir = temp_dir();
        let daemon = TestDaemon::start(dir.path(), &["--rotate-size", "50kB"]);
        daemon.send(lines().as_bytes());
        daemon.wait_for("archives", |daemon| daemon.stats()["store"]["archived_segments"].as_u64() > Some(1));
        let chrome = Chrome::start().await;
        chrome.client.goto(&format!("http://{}/", daemon.http)).await.expect("loaded");
        let body = find(&chrome.client, "body").await;
        body.send_keys("gf").await.expect("typed");
        chrome
            .wait("files", "return [...document.querySelectorAll('.files tbody tr')].some(row => row.textContent.includes('archived'))")
            .await;
        let choose = "const choice = document.querySelector('select[aria-label=Stream]'); choice.value = 'accepted'; choice.dispatchEvent(new Event('change'))";
        chrome.client.execute(choose, Vec::new()).await.expect("chosen");
        let shown = "const rows = [...document.querySelectorAll('.files tbody tr')].map(row => row.cells[2].textContent);
            return rows.length > 2 && rows.every(stream => stream === 'logs')";
        chrome.wait("accepted lines alone", shown).await;
        let fetched = "const link = [...document.querySelectorAll('.files a')].find(link => link.textContent.endsWith('.gz'));
            const response = await fetch(link.href);
            const text = await new Response(response.body.pipeThrough(new DecompressionStream('gzip'))).text();
            return text.split('\\n').length > 100 && text.includes('done')";
        chrome.wait("a download", fetched).await;
        chrome.pictures("files").await;
        body.send_keys("gc").await.expect("typed");
        let setting = "return [...document.querySelectorAll('.settings tr')].some(row => row.textContent === '--rotate-size50kBflag')";
        chrome.wait("a setting and where it came from", setting).await;
        chrome.pictures("config").await;
        body.send_keys("?").await.expect("typed");
        chrome.wait("help", "return document.getElementById('dialog').open").await;
        assert_quiet(&chrome);
        chrome.stop().await;
        daemon.stop();
    });
}
