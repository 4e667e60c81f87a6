// Command demo shows poise at work: it starts a server in a temporary data directory, makes the lab, takes the guided tour
// with the real openstack client, and leaves everything running to be played with. It cleans up when it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"poise/internal/config"
	"poise/internal/guide"
)

func main() {
	once := flag.Bool("once", false, "end after the tour")
	fabric := flag.String("fabric", "auto", "linux, loopback or auto")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *fabric, *once)
	if errors.Is(err, context.Canceled) {
		fmt.Println("\nInterrupted; everything is cleaned up.")
		os.Exit(130)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// demo is what runs during the demonstration.
type demo struct {
	dataDir string
	place   guide.Place
	shell   *guide.Shell
}

func run(ctx context.Context, fabric string, once bool) (err error) {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	binaries := filepath.Dir(program)
	d := &demo{place: guide.Place{Region: config.Default().Region}}
	if d.dataDir, err = os.MkdirTemp("", "poise-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dataDir)) }()
	log, err := os.Create(filepath.Join(d.dataDir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	address, err := freeAddress()
	if err != nil {
		return err
	}
	fmt.Printf("$ poise serve --data-dir %s --listen %s &\n", d.dataDir, address)
	server, err := guide.StartServer(ctx, guide.ServerConfig{
		Binary: filepath.Join(binaries, "poise"), Listen: address, DataDir: d.dataDir, Fabric: fabric, Log: log,
	})
	if err != nil {
		return errors.Join(err, tail(log.Name()))
	}
	defer func() {
		fmt.Println("\nStopping poise, which takes away everything that it made.")
		err = errors.Join(err, server.Stop())
	}()
	if d.shell, err = guide.StartShell(guide.Environment(binaries, d.dataDir), nil); err != nil {
		return err
	}
	defer d.shell.Close()
	if err := d.tour(ctx); err != nil {
		return errors.Join(err, tail(log.Name()))
	}
	if once {
		return nil
	}
	d.goOn(binaries)
	<-ctx.Done()
	return nil
}

// freeAddress is the address that servers have by default, or another one on this host when that is taken.
func freeAddress() (string, error) {
	for _, address := range []string{config.Default().Listen, "127.0.0.1:0"} {
		l, err := net.Listen("tcp", address)
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no free TCP port on 127.0.0.1")
}

// tour makes the lab and takes every step of the guide.
func (d *demo) tour(ctx context.Context) error {
	fmt.Printf("\n━━ The lab\n")
	lab, err := d.show(ctx, guide.Step{Command: "poise lab up"})
	if err != nil {
		return err
	}
	d.place.Loopback = strings.Contains(lab, "127.15.25.")
	parts, err := guide.Tour(d.place)
	if err != nil {
		return err
	}
	for _, part := range parts {
		fmt.Printf("\n━━ %s\n", part.Title)
		for _, step := range part.Steps {
			if _, err := d.show(ctx, step); err != nil {
				return err
			}
		}
	}
	if _, err = d.show(ctx, guide.Step{Command: "poise lab status"}); err != nil {
		return err
	}
	fmt.Println("\n✓ Everything was as the guide promises.")
	return nil
}

// show takes a step before the eyes of the user.
func (d *demo) show(ctx context.Context, step guide.Step) (string, error) {
	if step.Remark != "" {
		fmt.Printf("\n%s\n", step.Remark)
	}
	fmt.Printf("\n$ %s\n", step.Command)
	if step.Within > 0 {
		fmt.Printf("(again until it is as it should be, for at most %s)\n", step.Within)
	}
	output, err := d.shell.Take(ctx, step)
	fmt.Print(output)
	if ctx.Err() != nil {
		return output, ctx.Err()
	}
	if err != nil {
		return output, fmt.Errorf("this is not what the guide promises: %w", err)
	}
	return output, nil
}

// goOn says what the user can do next.
func (d *demo) goOn(binaries string) {
	fmt.Printf("\n━━ Your turn\n\nEverything is still running. In another terminal:\n\n")
	fmt.Printf("  export OS_CLIENT_CONFIG_FILE=%s OS_CLOUD=poise\n", filepath.Join(d.dataDir, "clouds.yaml"))
	fmt.Printf("  export PATH=%s:$PATH\n\n", binaries)
	fmt.Printf("  wget -q %s:61234 -O -\n", d.place.FloatingIP())
	fmt.Printf("  openstack loadbalancer status show mylb\n")
	fmt.Printf("  poise lab server stop srv-lbaas-2\n")
	fmt.Printf("  poise lab status\n\n")
	fmt.Printf("The server's log is %s. Ctrl-C ends the demonstration and cleans up.\n", filepath.Join(d.dataDir, "log"))
}

// tailSize is how much of the log is shown when something fails, in bytes.
const tailSize = 2000

// tail returns the end of the log as an error.
func tail(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil && size > tailSize {
		_, _ = file.Seek(-tailSize, io.SeekEnd)
	} else {
		_, _ = file.Seek(0, io.SeekStart)
	}
	end, err := io.ReadAll(file)
	return errors.Join(err, fmt.Errorf("the end of the server's log:\n%s", end))
}
