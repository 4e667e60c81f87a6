package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"poise/internal/barbican"
	"poise/internal/certificate"
	"poise/internal/clouds"
	"poise/internal/config"
	"poise/internal/console"
	"poise/internal/control"
	"poise/internal/database"
	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/fabric"
	"poise/internal/fabric/linux"
	"poise/internal/fabric/loopback"
	"poise/internal/health"
	"poise/internal/keystone"
	"poise/internal/lb"
	"poise/internal/metrics"
	"poise/internal/neutron"
	"poise/internal/node"
	"poise/internal/nova"
	"poise/internal/octavia"
	"poise/internal/rest"
	"poise/internal/store"
)

const (
	// shutdownTimeout bounds how long requests to the APIs that are under way may take once the server was asked to stop.
	shutdownTimeout = 10 * time.Second
	// lockPatience is how long a start waits for the data directory: a process that was killed just now holds it until the kernel has
	// taken it apart.
	lockPatience = 3 * time.Second
	lockRetry    = 20 * time.Millisecond
)

func serveCommand() *cobra.Command {
	var file, listen, dataDir, db, region, fabricName string
	var purge bool
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: APIs, control plane and data plane",
		Long: "Run the server in the foreground until it gets SIGTERM or SIGINT. SIGHUP reads the configuration again.\n" +
			"When it stops it lets no new clients in and waits for those that it has, up to drain_timeout; a second signal ends it at\n" +
			"once. Networks stay for the next start, unless there is --purge.\n" +
			"At its first start it makes an admin and a demo user, with passwords in clouds.yaml in the data directory.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			read := func() (config.Config, error) {
				c, err := config.Load(file)
				if err != nil {
					return c, err
				}
				for flag, set := range map[string]func(){
					"listen": func() { c.Listen = listen }, "data-dir": func() { c.DataDir = dataDir }, "database": func() { c.Database = db },
					"region": func() { c.Region = region }, "fabric": func() { c.Fabric = fabricName },
				} {
					if cmd.Flags().Changed(flag) {
						set()
					}
				}
				return c.Complete()
			}
			c, err := read()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, read, purge, cmd.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&file, "config", "", "configuration file (TOML; docs/poise.toml is the reference)")
	flags.StringVar(&listen, "listen", "", "address to serve on (default 127.0.0.1:9876)")
	flags.StringVar(&dataDir, "data-dir", "", "where to keep data (default /var/lib/poise, or ~/.local/share/poise)")
	flags.StringVar(&db, "database", "", "postgres:// address (default SQLite in the data directory)")
	flags.StringVar(&region, "region", "", "name of the region (default RegionOne)")
	flags.StringVar(&fabricName, "fabric", "", "linux, loopback or auto (default auto)")
	flags.BoolVar(&purge, "purge", false, "when it stops, take away all networks and namespaces that were made on this host")
	return command
}

// serve wires the rooms and runs them until ctx ends. With purge it then takes down what they made on the host. read reads the
// configuration again, and out gets the words of welcome.
func serve(ctx context.Context, c config.Config, read func() (config.Config, error), purge bool, out io.Writer) (err error) {
	settings := &live{}
	settings.set(c.Log)
	log := newLog(c.Log.Format, &settings.level)
	reload := newReloader(c, read, settings, log)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	reloading, stopReloading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReloading()
	tasks.Go(func() { reload.run(reloading) })
	unlock, err := lockDataDir(c.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := tighten(c.DataDir, log); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("the server's address: %w", err)
	}
	defer listener.Close()
	c = c.Bound(listener.Addr())
	proxies, err := rest.ParseProxies(c.TrustedProxies)
	if err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	most, err := rest.MaxConnections()
	if err != nil {
		return err
	}
	listener = rest.Limit(listener, most, proxies, log)
	frame := rest.Frame{Log: log, Proxies: proxies, LogRequests: settings.requests.Load, Classify: classify}
	f := newFront(listener, frame)
	db, err := openDatabase(ctx, c, f, frame)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	network, err := openFabric(ctx, c, listener.Addr(), log)
	if err != nil {
		return err
	}
	defer func() {
		if purge {
			err = errors.Join(err, network.Close())
		}
		network.Release()
	}()
	engines, err := node.StartEngines(log)
	if err != nil {
		return err
	}
	defer engines.Close()
	h, err := build(ctx, c, db, network, engines, frame)
	if err != nil {
		return err
	}
	h.greet(out, c, network)
	f.show(h.handler)
	return h.run(ctx, f, db)
}

// house is the wired rooms.
type house struct {
	identity  *keystone.Service
	network   *neutron.Service
	compute   *nova.Service
	secrets   *barbican.Service
	balancers *octavia.API
	control   *control.Control
	node      *node.Node
	accessLog *accesslog.Sink
	metrics   *metrics.Service
	console   *console.Console
	handler   http.Handler
	health    *health.Service
	frame     rest.Frame
	isNew     bool // clouds.yaml was made just now

	drainTimeout time.Duration
	log          *slog.Logger
}

func build(
	ctx context.Context, c config.Config, db *database.DB, network fabric.Fabric, engines *node.Engines, frame rest.Frame,
) (*house, error) {
	log := frame.Log
	h := &house{log: log, frame: frame, drainTimeout: c.DrainTimeout.Duration}
	var err error
	h.identity, err = keystone.New(ctx, keystone.Config{
		DB: db, Region: c.Region, PublicURL: c.PublicURL, TokenLifetime: c.Identity.TokenLifetime.Duration, Log: log,
		AdminAnywhere: c.Identity.Admin == "any_project",
		Endpoints: []keystone.Endpoint{
			{Type: "network", Name: "neutron", Path: "/network"},
			{Type: "compute", Name: "nova", Path: "/compute/v2.1"},
			{Type: "image", Name: "glance", Path: "/image"},
			{Type: "key-manager", Name: "barbican", Path: "/key-manager"},
			{Type: "load-balancer", Name: "octavia", Path: "/load-balancer"},
		},
	})
	if err != nil {
		return nil, err
	}
	if h.network, err = neutron.New(ctx, neutron.Config{
		DB: db, Fabric: network, Log: log, PublicURL: c.PublicURL + "/network", Quota: networkQuota(c.NetworkQuotas),
	}); err != nil {
		return nil, err
	}
	h.compute, err = nova.New(ctx, nova.Config{DB: db, Fabric: network, Network: h.network, Log: log, PublicURL: c.PublicURL + "/compute"})
	if err != nil {
		return nil, err
	}
	h.secrets, err = barbican.New(ctx, barbican.Config{
		DB: db, PublicURL: c.PublicURL + "/key-manager", KeyFile: filepath.Join(c.DataDir, "secrets.key"), Log: log,
	})
	if err != nil {
		return nil, err
	}
	balancers, err := store.New(ctx, db)
	if err != nil {
		return nil, err
	}
	balancers.Configure(store.Settings{Quota: quotas(c.Quotas), StrictImmutable: c.Octavia.StrictImmutable})
	h.node = node.New(network, engines, log)
	resolver := certificate.Resolver{Keys: keys{h.secrets}, Projects: h.identity, Opener: certificate.NewOpener()}
	h.control = control.New(balancers, h.network, secrets{resolver, h.secrets}, h.node, log)
	h.control.RequestLimits = dataplane.Limits(c.HTTP)
	h.node.ReportTo(h.control)
	balancers.OnChange(h.control.Changed)
	h.secrets.OnChange(h.control.SecretsChanged)
	h.network.OnAttachmentChange(h.control.AttachmentChanged)
	h.accessLog = accesslog.NewSink(filepath.Join(c.DataDir, "access-log"), log)
	h.node.LogTo(h.accessLog)
	h.health = health.New(
		log, health.Database(db.PingContext), health.Disk(c.DataDir, os.Geteuid() == 0), health.Opening(h.control.Opening),
	)
	h.balancers = octavia.New(octavia.Config{
		Health:  h.health.Reasons,
		Control: h.control, Past: h.control, Certificates: certificate.Checker(resolver), Quotas: balancers, Offers: balancers, Verifier: h.identity,
		PublicURL: c.PublicURL + "/load-balancer", IdentityURL: h.identity.URL(), Log: log,
		Watch: h.control.Watch, FollowLog: h.control.FollowLog, RBAC: octavia.RBAC(c.Octavia.RBAC), EnforceScope: c.Octavia.EnforceScope,
	})
	if err := h.openMetrics(c, balancers); err != nil {
		return nil, err
	}
	// Last, so that a server that will not start has changed nobody's password.
	if h.isNew, err = firstAccounts(ctx, c, h.identity); err != nil {
		return nil, err
	}
	h.handler = h.routes(c.PublicURL)
	return h, h.openConsole(c)
}

// quotas are the configured limits; what is not limited is left out.
func quotas(q config.Quotas) lb.Quota {
	limits := lb.Quota{
		lb.KindLoadBalancer: q.LoadBalancer, lb.KindListener: q.Listener, lb.KindPool: q.Pool, lb.KindMember: q.Member,
		lb.KindHealthMonitor: q.HealthMonitor, lb.KindL7Policy: q.L7Policy, lb.KindL7Rule: q.L7Rule,
	}
	maps.DeleteFunc(limits, func(_ lb.Kind, limit int) bool { return limit == lb.NoLimit })
	return limits
}

// networkQuota is the configured quota by the names of the network's quota API.
func networkQuota(q config.NetworkQuotas) neutron.Quota {
	return neutron.Quota{
		"network": q.Network, "subnet": q.Subnet, "subnetpool": q.SubnetPool, "port": q.Port, "router": q.Router,
		"router_route": q.RouterRoute, "floatingip": q.FloatingIP, "security_group": q.SecurityGroup,
		"security_group_rule": q.SecurityGroupRule, "policy": q.QoSPolicy,
	}
}

// firstAccounts makes sure that clouds.yaml and the accounts in it exist, in this order: a crash between the two is
// mended by the next start. Accounts whose passwords went with a lost clouds.yaml get the new ones.
func firstAccounts(ctx context.Context, c config.Config, identity *keystone.Service) (isNew bool, err error) {
	file, isNew, err := clouds.Ensure(c.DataDir, identity.URL()+"/v3", c.Region, keystone.NewPassword)
	if err != nil {
		return false, err
	}
	accounts := keystone.Accounts(file.Clouds[clouds.Admin].Auth.Password, file.Clouds[clouds.User].Auth.Password)
	created, err := identity.Bootstrap(ctx, accounts)
	if err != nil || !isNew {
		return false, err
	}
	for _, account := range accounts {
		if slices.Contains(created, account.Name) {
			continue
		}
		if err := identity.SetPassword(ctx, account.Name, account.Password); err != nil {
			return false, err
		}
	}
	return true, nil
}

// routes puts every API below its prefix.
func (h *house) routes(publicURL string) http.Handler {
	mux := http.NewServeMux()
	mount := func(prefix string, api http.Handler) {
		mux.Handle(prefix+"/", http.StripPrefix(prefix, api))
		mux.Handle(prefix, http.StripPrefix(prefix, api))
	}
	mount("/identity", h.identity.Handler())
	mount("/network", rest.Authenticate(h.identity, h.identity.URL(), h.network.Handler()))
	mount("/compute", rest.Authenticate(h.identity, h.identity.URL(), h.compute.Handler()))
	mount("/image", rest.Authenticate(h.identity, h.identity.URL(), h.compute.ImageHandler(publicURL+"/image")))
	mount("/key-manager", rest.Authenticate(h.identity, h.identity.URL(), h.secrets.Handler()))
	mount("/load-balancer", h.balancers.Handler())
	mux.Handle("GET /healthcheck", h.health)
	mux.Handle("GET /metrics", h.metrics)
	counted := h.frame
	counted.Tell = h.metrics.Served
	return counted.Around(mux)
}

// openMetrics makes the page for the operator, and at the first start the token for it.
func (h *house) openMetrics(c config.Config, balancers *store.Store) error {
	token, err := metrics.EnsureToken(filepath.Join(c.DataDir, "metrics.token"))
	if err != nil {
		return err
	}
	h.metrics = metrics.New(metrics.Config{
		Token: token, Verifier: h.identity, Log: h.log,
		Balancers: func(ctx context.Context) ([]lb.Snapshot, error) { return balancers.List(ctx, "") },
		Counters:  h.node.Counters, QueueLength: h.control.QueueLength, DroppedRecords: h.accessLog.Dropped,
	})
	h.control.OnAttempt(h.metrics.Attempted)
	return nil
}

// run runs every task until ctx ends or one fails. The networks come first, so that there is something to plug into. The APIs stop
// first, then what changes load balancers, so that nobody opens again what is drained; the servers of the lab stop last.
func (h *house) run(ctx context.Context, server *front, db *database.DB) error {
	server.RegisterOnShutdown(func() { // streams would last
		h.console.Close()
		h.control.EndWatches()
		h.balancers.EndLogs()
	})
	tasks, stopTasks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTasks()
	group, failed := errgroup.WithContext(tasks)
	group.Go(func() error { return db.KeepLock(failed) })
	group.Go(func() error { return h.network.Run(failed) })
	h.network.AwaitStart(ctx)
	group.Go(func() error { return h.identity.Run(failed) })
	group.Go(func() error { return h.compute.Run(failed) })
	group.Go(func() error { return h.accessLog.Run(failed) })
	group.Go(func() error { return h.health.Run(failed) })
	group.Go(server.run)
	changing, stopChanges := context.WithCancel(failed)
	defer stopChanges()
	var changes sync.WaitGroup
	for _, run := range []func(context.Context) error{h.node.Run, h.control.Run} {
		changes.Add(1)
		group.Go(func() error { defer changes.Done(); return run(changing) })
	}
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	h.log.Info("stopping")
	last, cancel := context.WithTimeout(tasks, shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		h.log.Warn("requests under way were cut off", "err", errors.Join(err, server.Close()))
	}
	stopChanges()
	changes.Wait()
	h.drain(tasks)
	stopTasks()
	defer h.node.Close() // once control applies nothing any more
	return group.Wait()
}

// drain waits for the clients of the load balancers.
func (h *house) drain(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, h.drainTimeout)
	defer cancel()
	if busy := h.node.Drain(limited); busy > 0 {
		h.log.Warn("connections under way were cut off", "load_balancers", busy, "after", h.drainTimeout)
	}
}

// greet says where everything is and what to type next.
func (h *house) greet(out io.Writer, c config.Config, network fabric.Fabric) {
	if h.isNew {
		fmt.Fprintf(out, "poise has made new passwords for its first accounts; they are in %s\n", filepath.Join(c.DataDir, clouds.FileName))
	}
	fmt.Fprintf(out, "poise serves on %s (region %s, %s fabric)\n\n", c.PublicURL, c.Region, network.Name())
	fmt.Fprintf(out, "In a browser: %s%s/ (its users and passwords are in %s)\n\n", c.PublicURL, console.Base, clouds.FileName)
	fmt.Fprintf(out, "In another terminal:\n\n  export OS_CLIENT_CONFIG_FILE=%s\n  export OS_CLOUD=%s\n", filepath.Join(c.DataDir, clouds.FileName), clouds.User)
	fmt.Fprintf(out, "  poise lab up          # a network, three servers and a router to play with\n  openstack loadbalancer list\n\n")
}

// openFabric opens the fabric that the configuration asks for, or the best that this process may use.
func openFabric(ctx context.Context, c config.Config, api net.Addr, log *slog.Logger) (fabric.Fabric, error) {
	missing := linux.Available()
	switch {
	case c.Fabric == "loopback", c.Fabric == "auto" && missing != nil:
		if missing != nil {
			log.Info("networks are addresses of the loopback interface", "because", missing)
		}
		made := loopback.New(log)
		if at, ok := api.(*net.TCPAddr); ok {
			made.Protect(at.AddrPort())
		}
		return made, nil
	case missing != nil:
		return nil, fmt.Errorf("the linux fabric: %w", missing)
	default:
		ports, err := linux.ParseHostPorts(c.Network.HostPorts)
		if err != nil {
			return nil, fmt.Errorf("configuration: network.host_ports: %w", err)
		}
		return linux.New(ctx, linux.Config{Tag: c.Tag(), Log: log, HostPorts: ports})
	}
}

// lockDataDir makes sure that only one server uses the data directory. The lock goes with the process, however it ends.
func lockDataDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	for deadline := time.Now().Add(lockPatience); ; {
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return func() { _ = file.Close() }, nil
		}
		if time.Now().After(deadline) {
			_ = file.Close()
			return nil, fmt.Errorf("data directory %s is in use by another poise", dir)
		}
		time.Sleep(lockRetry)
	}
}

func newLog(format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
