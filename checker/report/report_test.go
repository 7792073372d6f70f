package report

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// Equal reports give equal bytes, all files are there, and the page names no
// address outside itself.
func TestWriteIsDeterministic(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		if err := sample(3000).Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"index.html", "results.json", "history.jsonl", "plan.txt", "porcupine.html"} {
		a, err := os.ReadFile(filepath.Join(one, name))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(filepath.Join(two, name))
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs between equal reports", name)
		}
	}
	page, _ := os.ReadFile(filepath.Join(one, "index.html"))
	for _, bad := range []string{`src="`, "url(", "@import", `href="http`} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

// What a history holds is text, never markup; an empty report is still a page.
func TestHostileAndEmpty(t *testing.T) {
	evil := `</script><script>alert(1)</script>`
	rep := &Report{Title: evil, Scenario: evil, Reproduce: evil, Faults: []Fault{{Line: evil, Family: evil, Targets: []string{evil}, End: history.Never}},
		Verdicts: []checker.Verdict{{Check: evil, Summary: evil, Details: []string{evil}}}, Topology: []Node{{Name: evil}}}
	rec := history.NewRecorder()
	rec.Complete(rec.Invoke(evil, evil, 1, history.Action{F: history.Read, Key: evil}), 2, history.Fail, evil, history.Timestamp{})
	rep.History = rec.History()
	var b bytes.Buffer
	if err := rep.HTML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script>alert") {
		t.Error("text became markup")
	}
	b.Reset()
	if err := (&Report{}).HTML(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "no check was run") {
		t.Error("an empty report does not say that nothing was checked")
	}
}

// Points are capped, and the slowest operation survives.
func TestPointsAreThinned(t *testing.T) {
	rep := sample(60_000)
	rep.History.Ops[31_337].Return = rep.History.Ops[31_337].Call + 77e9
	rep.History.Ops[31_337].Outcome = history.OK
	s := rep.series()
	if s.Shown > maxPoints || s.Shown < maxPoints/2 || len(s.Points[0]) != s.Shown {
		t.Fatalf("%d points of %d", s.Shown, s.Of)
	}
	found := false
	for _, y := range s.Points[1] {
		found = found || y == 77_000
	}
	if !found {
		t.Error("the slowest operation is not drawn")
	}
}

func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no browser (chromium, chromium-browser, google-chrome, chrome) on the path: the page was not opened")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// The page opens from disk in a browser: no error on the console, no violation of
// its own policy, charts drawn, the verdict there, nothing wider than the window.
// REPORT_SHOTS=dir keeps pictures of it, for the README.
func TestPageInBrowser(t *testing.T) {
	ctx := browser(t)
	dir := t.TempDir()
	if err := sample(20_000).Write(dir); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+filepath.Join(dir, "index.html")), chromedp.WaitVisible(chromedp.CSS("#verdict")), chromedp.Sleep(300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	verdict := ask[string](ctx, t, `document.querySelector("#verdict").innerText`)
	charts := ask[string](ctx, t, `document.documentElement.dataset.charts || ""`)
	inked := ask[int](ctx, t, `[...document.querySelectorAll(".chart canvas")].filter(c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i] > 0) n++; return n > d.length / 4 / 50 }).length`)
	overflow := ask[int](ctx, t, `document.documentElement.scrollWidth - innerWidth`)
	took := ask[float64](ctx, t, `performance.getEntriesByType("navigation")[0].domComplete`)
	if !strings.Contains(verdict, "Violation") || !strings.Contains(verdict, "not linearizable") {
		t.Errorf("the verdict reads %q", verdict)
	}
	if charts != "3" || inked != 3 {
		t.Errorf("%s charts made, %d drawn; want 3", charts, inked)
	}
	if overflow > 0 {
		t.Errorf("the page is %d px wider than the window", overflow)
	}
	zoom(ctx, t)
	t.Logf("page complete after %.0f ms", took)
	if shots := os.Getenv("REPORT_SHOTS"); shots != "" {
		keepShots(ctx, t, shots)
	}
	const last = "the test has seen enough"
	ask[bool](ctx, t, `console.log("`+last+`"), true`)
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		if m.Text == last {
			break
		}
		t.Errorf("the browser complains: %s", m)
	}
}

// zoom drags across one chart: all charts show the same shorter time, and a double
// click shows the whole again.
func zoom(ctx context.Context, t *testing.T) {
	t.Helper()
	const drag = `(() => {
	const over = document.querySelector("#rate .u-over"), box = over.getBoundingClientRect();
	const fire = (type, share, target) => target.dispatchEvent(new MouseEvent(type, { bubbles: true, clientX: box.left + box.width * share, clientY: box.top + 20, button: 0, movementX: 9 }));
	fire("mouseenter", 0.25, over); fire("mousemove", 0.25, over); fire("mousedown", 0.25, over); fire("mousemove", 0.5, over); fire("mouseup", 0.5, document);
	return new Promise(done => setTimeout(() => done([...document.querySelectorAll(".chart")].map(c => c.dataset.shown).join("; ")), 200));
})()`
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](drag, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(shown, "; ")
	if len(parts) != 3 || parts[0] != parts[1] || parts[1] != parts[2] || !strings.HasPrefix(parts[0], "20.") && !strings.HasPrefix(parts[0], "19.") {
		t.Errorf("after a drag from a quarter to a half the charts show %q", shown)
	}
	const back = `(() => {
	document.querySelector("#rate .u-over").dispatchEvent(new MouseEvent("dblclick", { bubbles: true, button: 0 }));
	return new Promise(done => setTimeout(() => done(document.querySelector("#points").dataset.shown), 200));
})()`
	if shown, err = chromedp.Run(ctx, chromedp.Evaluate[string](back, chromedp.EvalAwaitPromise)); err != nil || !strings.HasPrefix(shown, "0.0 ") {
		t.Errorf("after a double click the chart shows %q (%v)", shown, err)
	}
}

func ask[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func keepShots(ctx context.Context, t *testing.T, dir string) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.Sleep(300*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		top, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		whole, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"report-" + scheme + ".png": whole, "report-" + scheme + "-top.png": top} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
