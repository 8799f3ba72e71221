//! Takes the terminal for a view that fills it, and gives it back. In: frames. Out: the alternate
//! screen, without cursor and echo; afterwards the terminal as it was, also after a panic, and
//! while the program is suspended (Ctrl-Z). Writes to stdout and stderr.
//!
//! The alternate screen, since a terminal rewraps the lines of its main screen when it is resized:
//! a frame in it would leave parts behind. The terminal belongs to the process, so its state is a
//! static.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};

use ratatui_crossterm::crossterm::{ExecutableCommand, cursor, style, terminal};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level::emulate_default_handler;
use tokio::signal::unix::{SignalKind, signal};

/// The most messages that are kept until the terminal is given back.
const MOST_MESSAGES: usize = 1000;

static STATE: Mutex<State> =
    Mutex::new(State { is_taken: false, times: 0, before: None, messages: Vec::new() });
static ON_PANIC: Once = Once::new();
static ON_SUSPENSION: Once = Once::new();

struct State {
    is_taken: bool,
    /// How often it was taken.
    times: u64,
    /// The terminal's settings before.
    before: Option<Termios>,
    /// Messages to stderr since it was taken.
    messages: Vec<String>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a view may fill the terminal: stdout is one, it can do more than print, its size is
/// known, and this program runs in its foreground.
#[must_use]
pub fn is_usable() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
    let has_size = terminal::size().is_ok_and(|(width, height)| width > 0 && height > 0);
    let is_behind = tcgetpgrp(io::stdout()).is_ok_and(|group| group != rustix::process::getpgrp());
    io::stdout().is_terminal() && !is_dumb && has_size && !is_behind
}

/// Whether the user wants colours (<https://no-color.org>).
#[must_use]
pub fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// A message to the user: to stderr, or into the view that fills the terminal, and to stderr after
/// it.
pub fn message(text: &str) {
    let mut state = state();
    if !state.is_taken {
        // `eprintln!` panics if the terminal is closed, which would prevent a cleanup.
        let _ = writeln!(io::stderr(), "{text}");
        return;
    }
    if state.messages.len() < MOST_MESSAGES {
        state.messages.push(text.to_owned());
    }
}

/// Writes the program's log as messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        message(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal, while a view fills it. Gives it back when dropped.
#[derive(Debug)]
pub struct FullScreen {
    /// The number of the take that the view has drawn into.
    drawn: u64,
}

impl FullScreen {
    /// Takes the terminal.
    pub fn take() -> io::Result<Self> {
        ON_PANIC.call_once(give_back_on_panic);
        take(&mut state())?;
        ON_SUSPENSION.call_once(give_back_on_suspension);
        Ok(Self { drawn: 0 })
    }

    /// Draws, unless the program is about to be suspended. `draw` gets the messages, and whether
    /// the terminal was taken since the last call: then nothing of the view is on it.
    pub fn draw(&mut self, draw: impl FnOnce(&[String], bool) -> io::Result<()>) -> io::Result<()> {
        let state = state();
        if !state.is_taken {
            return Ok(());
        }
        let is_empty = self.drawn != state.times;
        draw(&state.messages, is_empty)?;
        self.drawn = state.times;
        Ok(())
    }

    /// Gives the terminal back. Returns the messages, which are then the caller's to write.
    pub fn give_back(self) -> Vec<String> {
        let mut state = state();
        give_back(&mut state);
        std::mem::take(&mut state.messages)
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        let mut state = state();
        give_back(&mut state);
        for message in std::mem::take(&mut state.messages) {
            let _ = writeln!(io::stderr(), "{message}");
        }
    }
}

fn take(state: &mut State) -> io::Result<()> {
    if state.is_taken {
        return Ok(());
    }
    // Typed letters would appear within the view. Ctrl-C and Ctrl-Z remain signals.
    state.before = tcgetattr(io::stdout()).ok();
    if let Some(before) = &state.before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        tcsetattr(io::stdout(), OptionalActions::Now, &silent)?;
    }
    state.is_taken = true;
    state.times += 1;
    let mut out = io::stdout();
    let entered = out.execute(terminal::EnterAlternateScreen).and_then(|out| out.execute(cursor::Hide));
    if let Err(error) = entered {
        give_back(state);
        return Err(error);
    }
    Ok(())
}

fn give_back(state: &mut State) {
    if !state.is_taken {
        return;
    }
    state.is_taken = false;
    // If the terminal is closed, there is nothing to restore.
    let mut out = io::stdout();
    let _ = out.execute(style::ResetColor);
    // After a resize, tmux keeps lines of the alternate screen above the main screen.
    let _ = out.execute(terminal::Clear(terminal::ClearType::All));
    let _ = out.execute(cursor::MoveTo(0, 0));
    let _ = out.execute(terminal::LeaveAlternateScreen);
    let _ = out.execute(cursor::Show);
    if let Some(before) = state.before.take() {
        // What was typed into the view is not for the shell.
        let _ = tcsetattr(io::stdout(), OptionalActions::Flush, &before);
    }
}

/// Gives the terminal back before a panic's message is written.
fn give_back_on_panic() {
    let earlier = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        match STATE.try_lock() {
            Ok(mut state) => give_back(&mut state),
            Err(TryLockError::Poisoned(poisoned)) => give_back(&mut poisoned.into_inner()),
            // The panic is in a frame. The terminal is given back when it is dropped.
            Err(TryLockError::WouldBlock) => {}
        }
        earlier(panic);
    }));
}

/// Gives the terminal back while the program is suspended.
fn give_back_on_suspension() {
    let suspended = SignalKind::from_raw(SIGTSTP);
    if tokio::runtime::Handle::try_current().is_err() {
        return;
    }
    let Ok(mut suspensions) = signal(suspended) else { return };
    tokio::spawn(async move {
        while suspensions.recv().await.is_some() {
            // No frame is drawn in the meantime.
            let mut state = state();
            let was_taken = state.is_taken;
            give_back(&mut state);
            // Returns when the program is continued.
            let _ = emulate_default_handler(SIGTSTP);
            if was_taken {
                let _ = take(&mut state);
            }
        }
    });
}
