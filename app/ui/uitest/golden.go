package uitest

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"fyne.io/fyne/v2"

	"sallyport/app/ui/kit"
	"sallyport/core/api"
)

var update = flag.Bool("update", false, "write the golden files")

// Golden builds a view in a window of the given size, in each of the variants
// (Light when none is named), and compares its picture, dialogs included, with
// testdata/NAME-VARIANT.png. On a difference it writes what it got, and what
// differs, beside the golden file.
func Golden(t *testing.T, b api.Backend, name string, size fyne.Size, build func(env *kit.Env) fyne.CanvasObject, variants ...Variant) {
	t.Helper()
	if len(variants) == 0 {
		variants = []Variant{Light}
	}
	for _, v := range variants {
		t.Run(name+"-"+v.Name, func(t *testing.T) {
			t.Helper()
			env := EnvOf(t, b, v)
			env.Window.Resize(size)
			if o := build(env); o != nil {
				env.Window.SetContent(o)
			}
			env.Window.Resize(size)
			Settle()
			Picture(t, name+"-"+v.Name, env.Window)
		})
	}
}

// Picture compares what a window shows with testdata/NAME.png.
func Picture(t testing.TB, name string, w fyne.Window) {
	t.Helper()
	got := w.Canvas().Capture()
	path := filepath.Join("testdata", name+".png")
	failed, diff := filepath.Join("testdata", name+".got.png"), filepath.Join("testdata", name+".diff.png")
	_ = os.Remove(failed)
	_ = os.Remove(diff)
	if *update {
		write(t, path, got)
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		write(t, failed, got)
		t.Errorf("%v; %s is what it would be: look at it, and run the test with -update", err, failed)
		return
	}
	want, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if msg, marked := compare(got, want); msg != "" {
		write(t, failed, got)
		write(t, diff, marked)
		t.Errorf("%s: %s; see %s and %s", path, msg, failed, diff)
	}
}

// Golden files are written with 5 bits a channel, which fits most views into a
// palette and a third of the size. tolerance is by how much a channel of a pixel
// may differ: for that, and since floating point differs from processor to
// processor.
const tolerance = 8

// compare says in what the pictures differ, and marks it in red on a pale
// copy of the first.
func compare(got, want image.Image) (string, image.Image) {
	if got.Bounds() != want.Bounds() {
		return fmt.Sprintf("it is %v and was %v", got.Bounds().Max, want.Bounds().Max), got
	}
	r := got.Bounds()
	marked := image.NewNRGBA(r)
	draw.Draw(marked, r, image.White, image.Point{}, draw.Src)
	n, all := 0, image.Rectangle{}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			g, w := color.NRGBAModel.Convert(got.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(want.At(x, y)).(color.NRGBA)
			if near(g.R, w.R) && near(g.G, w.G) && near(g.B, w.B) && near(g.A, w.A) {
				marked.SetNRGBA(x, y, color.NRGBA{pale(g.R), pale(g.G), pale(g.B), 255})
				continue
			}
			n++
			all = all.Union(image.Rect(x, y, x+1, y+1))
			marked.SetNRGBA(x, y, color.NRGBA{R: 220, A: 255})
		}
	}
	if n == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d of %d pixels differ, within %v", n, r.Dx()*r.Dy(), all), marked
}

func near(a, b uint8) bool { return max(a, b)-min(a, b) <= tolerance }

func pale(c uint8) uint8 { return 192 + c/4 }

func write(t testing.TB, path string, img image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&b, coarse(img)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// coarse returns a picture without its alpha channel, in fewer colours, and
// with a palette when those are at most 256.
func coarse(img image.Image) image.Image {
	r := img.Bounds()
	out := image.NewRGBA(r)
	draw.Draw(out, r, image.White, image.Point{}, draw.Src)
	draw.Draw(out, r, img, r.Min, draw.Over)
	for i, c := range out.Pix {
		out.Pix[i] = uint8((int(c)*31 + 127) / 255 * 255 / 31)
	}
	colors := map[color.RGBA]uint8{}
	var p color.Palette
	for i := 0; i < len(out.Pix); i += 4 {
		c := color.RGBA{out.Pix[i], out.Pix[i+1], out.Pix[i+2], 255}
		if _, ok := colors[c]; !ok {
			if len(p) == 256 {
				return out
			}
			colors[c] = uint8(len(p))
			p = append(p, c)
		}
	}
	small := image.NewPaletted(r, p)
	for i := 0; i < len(out.Pix); i += 4 {
		small.Pix[i/4] = colors[color.RGBA{out.Pix[i], out.Pix[i+1], out.Pix[i+2], 255}]
	}
	return small
}
