/** Models and data sets from a hub that behaves, and from one that does not. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { openModelDirectory } from "../../lib/formats/huggingface.ts";
import { type DownloadProgress, resolveDataset, resolveModel } from "../../lib/io/hub.ts";
import { readSettings } from "../../lib/io/hub/settings.ts";
import { takeLock } from "../../lib/io/lock.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";
import { COMMIT, type Fault, serveHub, withEnvironment } from "./hub_server.ts";

const SHARD = "model-00002-of-00002.safetensors";
const LISTING = "/api/models/org/tiny/revision/main";
const names = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
const source = fixturePath("mistral/policy");

/** Every file of a snapshot is the fixture's. */
function assertSame(path: string): void {
  for (const name of names(path)) {
    assertEquals(Deno.readFileSync(`${path}/${name}`), Deno.readFileSync(`${source}/${name}`));
  }
}

Deno.test("hub: a model is fetched into huggingface_hub's cache, reused, and reused offline", () =>
  inTempDir(async (home) => {
    await using hub = serveHub(source);
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: "secret\n" }, async () => {
      const { state } = hub, folder = `${home}/hub/models--org--tiny`;
      const progress: DownloadProgress[] = [];
      const path = await resolveModel("org/tiny", { onProgress: (p) => progress.push(p) });
      assertEquals(path, `${folder}/snapshots/${COMMIT}`);
      assertSame(path);
      (await openModelDirectory(path)).close();
      assertEquals(await Deno.readTextFile(`${folder}/refs/main`), COMMIT);
      const last = progress.at(-1)!;
      assertEquals([last.file, last.doneBytes], [SHARD, last.totalBytes!]);
      assert(!state.asked.some((asked) => asked.endsWith("README.md")));
      // only the hub itself is told the token
      assertEquals([[...state.tokens], [...state.storageTokens]], [["Bearer secret"], [null]]);
      // weights are blobs by their SHA-256, a snapshot's files are links to blobs
      const link = await Deno.readLink(`${path}/${SHARD}`);
      assertMatch(link, /^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
      assertEquals(names(`${folder}/blobs`).filter((name) => name.endsWith(".incomplete")), []);

      state.asked.length = 0;
      assertEquals(await resolveModel("org/tiny"), path);
      assertEquals(state.asked, [LISTING]); // nothing is fetched twice
      for (const revision of ["v1", "refs/pr/1", COMMIT]) {
        assertEquals(await resolveModel(`org/tiny@${revision}`), path);
      }
      assertEquals(await Deno.readTextFile(`${folder}/refs/refs/pr/1`), COMMIT);
      assertEquals(names(`${folder}/refs`), ["main", "refs", "v1"]);

      await assertRejects(() => resolveModel("org/tiny@v2"), InputError, "org/tiny@v2");
      await assertRejects(() => resolveModel("org/none"), InputError, "does not exist");
      await assertRejects(() => resolveModel("org/gated"), InputError, "HF_TOKEN");
      await hub.close();

      const notices: string[] = [];
      assertEquals(await resolveModel("org/tiny", { onNotice: (line) => notices.push(line) }), path);
      assertStringIncludes(notices.join(), "could not be reached");
      await assertRejects(() => resolveModel("org/other"), InputError, "the hub could not be reached");
      for (const yes of ["1", "true", "ON", "yes"]) {
        Deno.env.set("HF_HUB_OFFLINE", yes);
        assertEquals(await resolveModel("org/tiny"), path);
        await assertRejects(() => resolveModel("org/other"), InputError, "not in the cache");
      }
      await Deno.remove(`${path}/${SHARD}`);
      await assertRejects(() => resolveModel("org/tiny"), InputError, "not in the cache");
    });
  }));

Deno.test("hub: whatever a server does wrong, no file of the cache is wrong, and what is good is kept", async (t) => {
  const faults: [Fault, RegExp][] = [
    ["cut", /broke off after \d+ of \d+ bytes/],
    ["short", /ended after \d+ of \d+ bytes/],
    ["long", /more than its \d+ bytes came/],
    ["part", /status 206, where the whole file/],
    ["corrupt", /its SHA-256 is/],
    ["stall", /nothing came for 0.2 s/],
    ["silent", /nothing came for 0.2 s/],
    ["busy", /status 503/],
  ];
  for (const [kind, message] of faults) {
    await t.step(kind, () =>
      inTempDir(async (home) => {
        await using hub = serveHub(source);
        const environment = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_HUB_DOWNLOAD_TIMEOUT: "0.2" };
        await withEnvironment(environment, async () => {
          const snapshot = `${home}/hub/models--org--tiny/snapshots/${COMMIT}`;
          hub.state.faults.set(SHARD, { kind, left: Infinity });
          const fetching = () => resolveModel("org/tiny", { retryMs: 1 });
          const failing = await assertRejects(fetching, InputError, "the download broke off");
          assertMatch(failing.message, message);
          assert(!names(snapshot).includes(SHARD));
          assertSame(snapshot);
          // once is no failure, and nothing that has come is asked for again
          hub.state.faults.set(SHARD, { kind, left: 1 });
          hub.state.asked.length = 0;
          assertSame(await fetching());
          assert(hub.state.asked.every((path) => path === LISTING || path.endsWith(SHARD)));
          if (kind === "cut") assert(hub.state.ranges.length > 0, "the rest was not asked for");
        });
      }));
  }
});

Deno.test("hub: a size that nobody knows is not believed", () =>
  inTempDir(async (home) => {
    await using hub = serveHub(source);
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home }, async () => {
      hub.state.faults.set("config.json", { kind: "no length", left: Infinity });
      const { message } = await assertRejects(() => resolveModel("org/tiny", { retryMs: 1 }), InputError);
      assertStringIncludes(message, "does not say its size");
      for (
        const listing of [
          "",
          "[]",
          "{}",
          '{"sha":"../x","siblings":[]}',
          '{"sha":"a","siblings":[{"rfilename":7}]}',
        ]
      ) {
        hub.state.listing = listing;
        await assertRejects(() => resolveModel("org/tiny"), InputError, "no listing");
      }
    });
  }));

Deno.test("hub: weights come last, when configuration and tokenizer are known to be right, or not at all", () =>
  inTempDir(async (home) => {
    await using hub = serveHub(source);
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home }, async () => {
      const beforeWeights = () => Promise.reject(new InputError("an unknown architecture"));
      await assertRejects(
        () => resolveModel("org/tiny", { beforeWeights }),
        InputError,
        "an unknown architecture",
      );
      const path = await resolveModel("org/tiny", { withoutWeights: true });
      assert(names(path).includes("tokenizer.json"));
      assertEquals(hub.state.asked.filter((asked) => /safetensors/.test(asked)), []);
    });
  }));

Deno.test("hub: a damaged index in the cache is fetched again; offline it is no model", () =>
  inTempDir(async (home) => {
    await using hub = serveHub(source);
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home }, async () => {
      const path = await resolveModel("org/tiny");
      const index = `${path}/model.safetensors.index.json`;
      await Deno.writeTextFile(index, '{"weight_map": {"x": "../../secret.safetensors"}}');
      Deno.env.set("HF_HUB_OFFLINE", "1");
      await assertRejects(() => resolveModel("org/tiny"), InputError, "not in the cache");
      Deno.env.delete("HF_HUB_OFFLINE");
      assertSame(await resolveModel("org/tiny"));
    });
  }));

Deno.test("hub: the token is the environment's or hf auth login's, and never shown", () =>
  inTempDir(async (home) => {
    const token = async (values: Record<string, string>) => {
      let found: string | undefined;
      await withEnvironment({ HF_HOME: `${home}/hf`, ...values }, async () => {
        found = (await readSettings()).token;
      });
      return found;
    };
    assertEquals(await token({}), undefined);
    await Deno.mkdir(`${home}/hf`);
    await Deno.writeTextFile(`${home}/hf/token`, " hf_kept\r\n");
    await Deno.writeTextFile(`${home}/elsewhere`, "hf_there");
    assertEquals(await token({}), "hf_kept");
    assertEquals(await token({ HF_TOKEN: "hf_given\n" }), "hf_given");
    assertEquals(await token({ HF_TOKEN_PATH: `${home}/elsewhere` }), "hf_there");
    assertEquals(await token({ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }), undefined);
    for (const bad of ["hf_sec ret", "hf_sécret", "hf_sec\tret"]) {
      const { message } = await assertRejects(() => token({ HF_TOKEN: bad }), InputError);
      assert(!message.includes("ret") && !message.includes("sec"), message);
    }
    await withEnvironment({ HF_HOME: "~/x", HOME: home }, async () => {
      assertEquals((await readSettings()).cache, `${home}/x/hub`);
    });
    await withEnvironment({ HF_HUB_CACHE: "$HF_HOME/y", HF_HOME: home }, async () => {
      assertEquals((await readSettings()).cache, `${home}/y`);
    });
  }));

Deno.test("hub: two that fetch at once wait for each other, and a signal ends the fetching", () =>
  inTempDir(async (home) => {
    await using hub = serveHub(source);
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home }, async () => {
      const paths = await Promise.all([1, 2, 3].map(() => resolveModel("org/tiny")));
      assertEquals(new Set(paths).size, 1);
      assertSame(paths[0]!);
      const locks = `${home}/hub/.locks/models--org--tiny`;
      for (const name of names(locks)) assert(await takeLock(`${locks}/${name}`, { keep: true }), name);
    });
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: `${home}/other` }, async () => {
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      await assertRejects(
        () => resolveModel("org/tiny", { onProgress, signal: controller.signal }),
        DOMException,
      );
    });
  }));

Deno.test("hub: a data set's files, and a whole copy of it where the hub is away", () =>
  inTempDir(async (home) => {
    const rows = `${home}/rows`;
    await Deno.mkdir(`${rows}/data`, { recursive: true });
    await Deno.writeTextFile(`${rows}/data/train-0.jsonl`, "{}\n");
    await Deno.writeTextFile(`${rows}/data/train-1.jsonl`, "{}\n");
    await Deno.writeTextFile(`${rows}/photo.png`, "");
    const hub = serveHub(rows, { type: "datasets" });
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home }, async () => {
      const accepts = (file: string) => file.endsWith(".jsonl");
      hub.state.faults.set("data/train-1.jsonl", { kind: "busy", left: Infinity });
      await assertRejects(() => resolveDataset("org/tiny", { accepts, retryMs: 1 }), InputError, "broke off");
      hub.state.faults.clear();
      const path = await resolveDataset("org/tiny", { accepts });
      assertEquals(path, `${home}/hub/datasets--org--tiny/snapshots/${COMMIT}`);
      assertEquals(names(`${path}/data`), ["train-0.jsonl", "train-1.jsonl"]);
      assertEquals(await Deno.readTextFile(`${path}/data/train-1.jsonl`), "{}\n");
      await assertRejects(
        () => resolveDataset("org/tiny", { accepts: () => false }),
        InputError,
        "no data file",
      );
      await hub.close();
      assertEquals(await resolveDataset("org/tiny", { accepts }), path);
      const others = { accepts: (file: string) => file.endsWith(".png") };
      await assertRejects(() => resolveDataset("org/tiny", others), InputError, "could not be reached");
    });
  }));

Deno.test("hub: a local directory is itself, anything else that is no org/name is refused", async () => {
  assertEquals(await resolveModel(source), source);
  for (const name of ["nowhere", "./a/b", "../x", "/no/such/dir", "a/b/c", "a/..", "a/b@../c"]) {
    await assertRejects(() => resolveModel(name), InputError, `${name}: no such directory`);
  }
});
