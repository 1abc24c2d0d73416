//! `gimbal top`: what is busiest in a running Gimbal, as sorted tables that keep themselves up to date.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Tabs};

use super::asking::{Asking, Where, harmless};
use super::paint::print;
use crate::admin::view::{Filter, Overview, Sessions, Status, Upstreams};

/// Show what is busiest in a running Gimbal, as a full screen that keeps itself up to date
///
/// Tables of request codes, topics, clients, filters and brokers. Where the output is no terminal, all of them are printed
/// once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    at: Where,
}

const EXAMPLES: &str = "\
Keys:
  1 to 5, Tab, left, right   another table
  s                          sort by rate or by name
  up, down                   scroll
  q                          leave

Examples:
  gimbal top
  gimbal top --admin http://10.0.0.5:9860";

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// How soon a key is answered.
const TICK: Duration = Duration::from_millis(100);
const TABS: [&str; 5] = ["codes", "topics", "clients", "filters", "brokers"];

/// Everything that is shown, of one moment.
#[derive(Debug, Clone, Default)]
struct Moment {
    status: Status,
    overview: Overview,
    sessions: Sessions,
    filters: Vec<Filter>,
    upstreams: Upstreams,
}

/// A table: its columns, and rows with what they are sorted by.
#[derive(Debug, Default)]
struct Sheet {
    columns: &'static [&'static str],
    rows: Vec<(f64, Vec<String>)>,
}

/// What the keys have chosen.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    tab: usize,
    by_name: bool,
    from: usize,
}

#[expect(
    clippy::disallowed_methods,
    reason = "this process does nothing else meanwhile"
)]
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asking = args.at.asking()?;
    let first = look(&asking)?;
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        std::thread::sleep(PERIOD);
        let second = look(&asking)?;
        print(&as_text(&second, &first))?;
        return Ok(ExitCode::SUCCESS);
    }
    let moments = keep_looking(asking);
    let mut terminal = ratatui::try_init()?;
    let outcome = show(&mut terminal, &moments, first);
    ratatui::try_restore()?;
    outcome?;
    Ok(ExitCode::SUCCESS)
}

fn look(asking: &Asking) -> anyhow::Result<Moment> {
    Ok(Moment {
        status: asking.ask("/api/v1/status")?,
        overview: asking.ask("/api/v1/overview")?,
        sessions: asking.ask("/api/v1/sessions?limit=200&sort=rate")?,
        filters: asking.ask("/api/v1/filters")?,
        upstreams: asking.ask("/api/v1/upstreams")?,
    })
}

/// Looks again and again on a thread of its own, so that keys are answered while nobody else does.
#[expect(
    clippy::disallowed_methods,
    reason = "this process does nothing else meanwhile"
)]
fn keep_looking(asking: Asking) -> Receiver<Result<Moment, String>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(PERIOD);
            let moment = look(&asking).map_err(|error| error.to_string());
            if sender.send(moment).is_err() {
                return;
            }
        }
    });
    receiver
}

fn show(
    terminal: &mut DefaultTerminal,
    moments: &Receiver<Result<Moment, String>>,
    first: Moment,
) -> io::Result<()> {
    let (mut now, mut before) = (first, None);
    let mut choice = Choice::default();
    let mut trouble = None;
    loop {
        match moments.try_recv() {
            Ok(Ok(moment)) => {
                before = Some(std::mem::replace(&mut now, moment));
                trouble = None;
            }
            Ok(Err(error)) => trouble = Some(error),
            Err(_nothing_new) => {}
        }
        terminal.draw(|frame| draw(frame, (&now, before.as_ref()), choice, trouble.as_deref()))?;
        if event::poll(TICK)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && !choice.take(key)
        {
            return Ok(());
        }
    }
}

impl Choice {
    /// Follows a key; whether to go on.
    fn take(&mut self, key: KeyEvent) -> bool {
        let tab = self.tab;
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('s') => self.by_name = !self.by_name,
            KeyCode::Char(c @ '1'..='5') => {
                self.tab = c.to_digit(10).map_or(0, |digit| digit.saturating_sub(1) as usize);
            }
            KeyCode::Tab | KeyCode::Right => self.tab = (tab + 1) % TABS.len(),
            KeyCode::BackTab | KeyCode::Left => self.tab = (tab + TABS.len() - 1) % TABS.len(),
            KeyCode::Down => self.from = self.from.saturating_add(1),
            KeyCode::Up => self.from = self.from.saturating_sub(1),
            _ => {}
        }
        if self.tab != tab {
            self.from = 0;
        }
        true
    }
}

fn draw(
    frame: &mut ratatui::Frame<'_>,
    (now, before): (&Moment, Option<&Moment>),
    choice: Choice,
    trouble: Option<&str>,
) {
    let lines = [
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [head, tabs, body, foot] = Layout::vertical(lines).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(now, before)), head);
    let titles = TABS
        .iter()
        .zip(1..)
        .map(|(name, number)| format!("{number} {name}"));
    let chosen = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Tabs::new(titles).select(choice.tab).highlight_style(chosen), tabs);
    let mut sheet = sheet(choice.tab, now, before);
    sheet.sort(choice.by_name);
    let from = choice.from.min(sheet.rows.len().saturating_sub(1));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let header = Row::new(sheet.columns.iter().copied().map(Cell::from)).style(bold);
    let rows = sheet
        .rows
        .iter()
        .skip(from)
        .map(|(_, cells)| Row::new(cells.clone()));
    let rest = std::iter::repeat_n(Constraint::Length(10), sheet.columns.len().saturating_sub(2));
    let widths = [Constraint::Min(16), Constraint::Length(12)]
        .into_iter()
        .chain(rest);
    frame.render_widget(Table::new(rows, widths).header(header), body);
    let foot_text = match trouble {
        Some(error) => Line::styled(
            harmless(&format!("OLD NUMBERS: {error}")),
            Style::new().fg(Color::Red),
        ),
        None => Line::from("1-5 table  s sort  up/down scroll  q quit"),
    };
    frame.render_widget(foot_text, foot);
}

fn heading(now: &Moment, before: Option<&Moment>) -> Vec<Line<'static>> {
    let status = &now.status;
    let (word, colour) = match (status.ready, status.draining) {
        (true, _) => ("ready", Color::Green),
        (false, true) => ("leaving", Color::Yellow),
        (false, false) => ("NOT READY", Color::Red),
    };
    let up = humantime::format_duration(Duration::from_secs(status.uptime_s)).to_string();
    let first = Line::from(vec![
        Span::raw(format!("Gimbal {}  ", status.version)),
        Span::styled(word, Style::new().fg(colour)),
        Span::raw(format!("  up {up}  {}", harmless(&status.reasons.join("; ")))),
    ]);
    vec![first, Line::from(in_numbers(now, before))]
}

fn in_numbers(now: &Moment, before: Option<&Moment>) -> String {
    let rate = |of: fn(&Overview) -> u64| {
        rate(
            of(&now.overview),
            before.map(|before| of(&before.overview)),
            now,
            before,
        )
    };
    let denied = |overview: &Overview| overview.outcomes.get("denied").copied().unwrap_or_default();
    format!(
        "{} requests/s  {} denied/s  {} clients  {} in flight",
        number(rate(|overview| overview.requests)),
        number(rate(denied)),
        now.overview.sessions,
        now.overview.in_flight
    )
}

impl Sheet {
    fn sort(&mut self, by_name: bool) {
        if by_name {
            self.rows.sort_by(|(_, a), (_, b)| a.cmp(b));
        } else {
            self.rows
                .sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.cmp(y)));
        }
    }
}

/// How many a second since `before`.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, last: Option<u64>, now: &Moment, before: Option<&Moment>) -> f64 {
    let Some((last, before)) = last.zip(before) else {
        return 0.0;
    };
    let elapsed = now.overview.time_ms.saturating_sub(before.overview.time_ms);
    if elapsed == 0 || now.overview.started_ms != before.overview.started_ms {
        return 0.0;
    }
    count.saturating_sub(last) as f64 * 1_000.0 / elapsed as f64
}

fn number(value: f64) -> String {
    if value >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn sheet(tab: usize, now: &Moment, before: Option<&Moment>) -> Sheet {
    match tab {
        0 => counted(
            &["CODE", "REQUESTS/S", "TOTAL"],
            |overview| &overview.codes,
            now,
            before,
        ),
        1 => counted(
            &["TOPIC", "COMMANDS/S", "TOTAL"],
            |overview| &overview.topics,
            now,
            before,
        ),
        2 => clients(now),
        3 => filters(now, before),
        _ => brokers(now),
    }
}

fn counted(
    columns: &'static [&'static str],
    of: fn(&Overview) -> &BTreeMap<String, u64>,
    now: &Moment,
    before: Option<&Moment>,
) -> Sheet {
    let rows = of(&now.overview).iter().map(|(name, count)| {
        let last = before.map(|before| of(&before.overview).get(name).copied().unwrap_or_default());
        let rate = rate(*count, last, now, before);
        (rate, vec![harmless(name), number(rate), count.to_string()])
    });
    Sheet {
        columns,
        rows: rows.collect(),
    }
}

fn clients(now: &Moment) -> Sheet {
    let rows = now.sessions.sessions.iter().map(|session| {
        let who = session.client.as_deref().unwrap_or(&session.peer);
        let speaks = format!("{} {}", session.language, session.version);
        let rate = session.requests_per_s;
        let cells = vec![
            harmless(who),
            number(rate),
            session.in_flight.to_string(),
            harmless(&speaks),
        ];
        (rate, cells)
    });
    Sheet {
        columns: &["CLIENT", "REQUESTS/S", "IN FLIGHT", "SPEAKS"],
        rows: rows.collect(),
    }
}

fn filters(now: &Moment, before: Option<&Moment>) -> Sheet {
    let rows = now.filters.iter().map(|filter| {
        let counters = &filter.counters;
        let old = before.and_then(|before| before.filters.iter().find(|old| old.name == filter.name));
        let rate = rate(counters.calls, old.map(|old| old.counters.calls), now, before);
        let cost = counters.nanos.checked_div(counters.calls).unwrap_or_default() / 1_000;
        let state = if filter.is_disabled {
            "disabled"
        } else {
            &filter.serving
        };
        let cells = vec![
            harmless(&filter.name),
            number(rate),
            format!("{cost} us"),
            counters.answers.to_string(),
            counters.failures.to_string(),
            state.to_owned(),
        ];
        (rate, cells)
    });
    Sheet {
        columns: &["FILTER", "CALLS/S", "COST", "ANSWERED", "FAILED", "STATE"],
        rows: rows.collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "what a table is sorted by")]
fn brokers(now: &Moment) -> Sheet {
    let rows = now.upstreams.brokers.iter().map(|broker| {
        let worst = broker
            .health
            .iter()
            .find(|health| health.circuit != "closed")
            .or(broker.health.first());
        let state = worst.map_or(
            "-",
            |health| if health.circuit == "closed" { "ok" } else { "DOWN" },
        );
        let address = broker.addresses.values().next().map_or("-", String::as_str);
        let cells = vec![
            harmless(&broker.name),
            broker.in_flight.to_string(),
            broker.links.to_string(),
            state.to_owned(),
            harmless(address),
        ];
        (broker.in_flight as f64, cells)
    });
    Sheet {
        columns: &["BROKER", "IN FLIGHT", "LINKS", "STATE", "ADDRESS"],
        rows: rows.collect(),
    }
}

/// All tables, for a pipe.
fn as_text(now: &Moment, before: &Moment) -> String {
    let mut text = format!("{}\n", in_numbers(now, Some(before)));
    for tab in 0..TABS.len() {
        let mut sheet = sheet(tab, now, Some(before));
        sheet.sort(false);
        text.push('\n');
        text.push_str(&aligned(sheet.columns.iter().map(|column| (*column).to_owned())));
        text.push('\n');
        for (_, cells) in sheet.rows {
            text.push_str(&aligned(cells.into_iter()));
            text.push('\n');
        }
    }
    text
}

fn aligned(cells: impl Iterator<Item = String>) -> String {
    let padded = cells.enumerate().map(|(at, cell)| match at {
        0 => format!("{cell:<36}"),
        _ => format!("{cell:<12}"),
    });
    padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn moment(time_ms: u64, sends: u64) -> Moment {
        let mut moment = Moment::default();
        moment.status.ready = true;
        moment.overview.time_ms = time_ms;
        moment.overview.requests = sends;
        moment.overview.codes.insert("SEND_MESSAGE_V2".to_owned(), sends);
        moment.overview.codes.insert("HEART_BEAT".to_owned(), 3);
        moment.overview.topics.insert("evil\u{1b}[2J".to_owned(), sends);
        moment
    }

    fn screen(choice: Choice, trouble: Option<&str>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let (before, now) = (moment(1_000, 0), moment(3_000, 50));
        terminal
            .draw(|frame| draw(frame, (&now, Some(&before)), choice, trouble))
            .unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn eighty_columns_show_rates_and_keys() {
        let text = screen(Choice::default(), None);
        for expected in [
            "25.0 requests/s",
            "SEND_MESSAGE_V2",
            "CODE",
            "5 brokers",
            "q quit",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let sends = text.find("SEND_MESSAGE_V2").unwrap();
        assert!(sends < text.find("HEART_BEAT").unwrap(), "the busiest first");
        assert!(screen(Choice::default(), Some("gone")).contains("OLD NUMBERS: gone"));
    }

    #[test]
    fn keys_choose_the_table_and_the_order() {
        let mut choice = Choice::default();
        let press = |choice: &mut Choice, code| choice.take(KeyEvent::new(code, KeyModifiers::NONE));
        assert!(press(&mut choice, KeyCode::Tab) && press(&mut choice, KeyCode::Char('s')));
        assert_eq!((choice.tab, choice.by_name), (1, true));
        assert!(
            !screen(choice, None).contains('\u{1b}'),
            "names of others are harmless"
        );
        assert!(press(&mut choice, KeyCode::Char('5')) && press(&mut choice, KeyCode::Right));
        assert_eq!(choice.tab, 0);
        assert!(!press(&mut choice, KeyCode::Char('q')));
    }

    #[test]
    fn a_pipe_gets_every_table_once() {
        let text = as_text(&moment(3_000, 50), &moment(1_000, 0));
        for column in ["CODE", "TOPIC", "CLIENT", "FILTER", "BROKER"] {
            assert_eq!(
                text.lines().filter(|line| line.starts_with(column)).count(),
                1,
                "{column}"
            );
        }
        assert!(text.contains("25.0"), "{text}");
    }
}
