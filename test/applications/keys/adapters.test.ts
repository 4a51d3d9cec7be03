/**
 * Key types that run programs which know secrets: git's and docker's helpers, and others.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { after, describe, test } from 'node:test'
import { inspect } from 'node:util'
import {
  dockerCredentialType,
  type GitCredentialOptions,
  gitCredentialType,
  KEY_SPEC_USER_SESSION_KEYRING,
  programType,
} from '../../../src/applications/keys/index.js'
import { temporary, write } from '../../helpers/temporary.js'
import { bench, says } from './harness.js'

const { kernel, keys, pass } = bench()
after(() => kernel.shutdown())
const SECRET = 'p=ss w0rd\u00fc'

let names = 0
/** A helper's script and the log of what it was asked. */
function helperScript(body: string): { readonly path: string; readonly log: () => string } {
  names += 1
  const log = temporary(`credential-${names}.log`)
  writeFileSync(log, '')
  const path = write(
    `credential-${names}.sh`,
    `#!/bin/sh\naction=$1\ninput=$(cat)\nprintf '%s\\n%s\\n--\\n' "$action" "$input" >> ${log}\n${body}\n`,
    0o755,
  )
  return { path, log: () => readFileSync(log, 'utf8') }
}
const unique = (prefix: string): string => {
  names += 1
  return `${prefix}${names}`
}
const git = (options: Omit<GitCredentialOptions, 'name'>) => {
  const name = unique('git')
  const type = gitCredentialType({ name, ...options })
  keys.registerKeyType(type)
  return { name, type }
}
const GOOD = `[ "$action" = get ] && printf 'username=me\\npassword=${SECRET}\\n' || :`
const calls = (log: string) => log.split('--\n').length - 1

describe('git credential helpers', () => {
  test('a URL in, the password out, with the user name; once for however many ask', async () => {
    const { path, log } = helperScript(GOOD)
    const { name, type } = git({ helper: path })
    const got = await Promise.all(
      Array.from({ length: 50 }, () => keys.requestKey(name, 'https://example.com/a/b', '')),
    )
    assert.equal(new Set(got).size, 1)
    const [key] = got
    assert.ok(key)
    assert.equal(key.payload().toString(), SECRET)
    assert.equal(type.username(key), 'me')
    assert.equal(log(), 'get\nprotocol=https\nhost=example.com\n--\n')
    await assert.rejects(keys.read(key), says('EOPNOTSUPP'))
  })

  test('approve and reject: store and erase, with the user name and the password', async () => {
    const { path, log } = helperScript(GOOD)
    const { name, type } = git({ helper: path })
    const key = await keys.requestKey(name, 'https://me@example.com:8443/x', '')
    await type.approve(key)
    await type.reject(key)
    const told = `protocol=https\nhost=example.com:8443\nusername=me\npassword=${SECRET}\n--\n`
    assert.ok(log().endsWith(`store\n${told}erase\n${told}`), log())
    await keys.invalidate(key)
    await assert.rejects(type.approve(key), says('ENOKEY'))
    const other = await keys.addKey('user', 'x:y', 'z')
    await assert.rejects(type.approve(other), says('EINVAL'))
  })

  test('the forms of credential.helper: a path with arguments, a line of shell, a list of words', async () => {
    const { path } = helperScript(`echo "password=$action"`)
    const list = helperScript('')
    for (const [helper, said] of [
      [path, 'get'],
      [`!f() { echo "password=from shell $1"; }; f`, 'from shell get'],
      [['/bin/sh', '-c', 'echo "password=$0"'], 'get'],
    ] as const) {
      const { name } = git({ helper })
      assert.equal((await keys.requestKey(name, 'https://example.com', '')).payload().toString(), said)
    }
    assert.equal(list.log(), '')
  })

  test('useHttpPath tells the path; other protocols always do', async () => {
    const { path, log } = helperScript(GOOD)
    const withPath = git({ helper: path, useHttpPath: true })
    await keys.requestKey(withPath.name, 'https://example.com/a%20b.git', '')
    const without = git({ helper: path })
    await keys.requestKey(without.name, 'cert:///etc/key.pem', '')
    assert.equal(
      log(),
      'get\nprotocol=https\nhost=example.com\npath=a b.git\n--\nget\nprotocol=cert\nhost=\npath=etc/key.pem\n--\n',
    )
  })

  test('password_expiry_utc is the time that the key lives', async () => {
    const expiry = Math.floor(Date.now() / 1_000) + 1_000
    const { path, log } = helperScript(`echo password=x; echo password_expiry_utc=${expiry}`)
    const { name } = git({ helper: path })
    const key = await keys.requestKey(name, 'https://example.com', '')
    assert.ok(key.timeout !== undefined && key.timeout > 900 && key.timeout <= 1_000)
    pass(1_001)
    const again = await keys.requestKey(name, 'https://example.com', '')
    assert.notEqual(again, key)
    assert.equal(calls(log()), 2)
  })

  test('timeToLive without it; a password that has expired is none', async () => {
    const first = git({ helper: helperScript(GOOD).path, timeToLive: 30 })
    assert.equal((await keys.requestKey(first.name, 'https://example.com', '')).timeout, 30)
    const old = git({ helper: helperScript('echo password=x; echo password_expiry_utc=5').path })
    await assert.rejects(keys.requestKey(old.name, 'https://example.com', ''), says('ENOKEY'))
  })

  test('no credential, quit, a failure: ENOKEY with a reason, remembered for negativeTimeout', async () => {
    for (const [body, reason] of [
      ['', /the helper has no credential for it/],
      ['echo quit=1; echo password=x', /the helper has no credential/],
      [`printf 'password=${SECRET}\\n'; echo ${SECRET} >&2; exit 3`, /exited with 3/],
      ['kill -9 $$', /exited with 137|killed by SIGKILL/],
    ] as const) {
      const { path, log } = helperScript(body)
      const { name } = git({ helper: path, negativeTimeout: 7 })
      const ask = () =>
        assert.rejects(keys.requestKey(name, 'https://example.com', ''), (error: Error) => {
          assert.match(error.message, reason)
          assert.ok(!inspect(error, { depth: 9 }).includes(SECRET))
          return says('ENOKEY')(error)
        })
      await ask()
      await ask()
      assert.equal(calls(log()), 1)
      pass(7)
      await ask()
      assert.equal(calls(log()), 2)
    }
  })

  test('URLs that are none, hold a password, or a line feed that would ask for another host: EINVAL, nothing runs', async () => {
    const { path, log } = helperScript(GOOD)
    const { name } = git({ helper: path, useHttpPath: true })
    for (const url of [
      'no url',
      'https://me:hushhush@example.com/',
      'https://example.com/%0ahost=evil.example',
      'https://me%0ahost=evil@example.com',
      'https://example.com/%00',
      'https://example.com/%zz',
      'https://example.com/%0d',
      'https://me:hush/hushhush@example.com',
      'https://me:hush#hushhush@example.com',
      'https://me:hush hushhush@exa mple.com',
      'me:hushhush@example.com',
      'me:hush hushhush/@[',
    ]) {
      const refuses = (error: Error) => {
        assert.ok(!inspect(error, { depth: 9 }).includes('hush'), error.message)
        return says('EINVAL')(error)
      }
      await assert.rejects(keys.requestKey(name, url, ''), refuses)
      await assert.rejects(keys.requestKey(name, url), refuses)
      assert.throws(() => keys.search(KEY_SPEC_USER_SESSION_KEYRING, name, url), refuses)
    }
    assert.equal(log(), '')
    assert.ok(!kernel.proc.read('/proc/keys').includes('hush'))
  })

  test('a password that is not UTF-8 comes and goes as it is, and so does the user name', async () => {
    const { path, log } = helperScript(
      `[ "$action" = get ] && printf 'username=m\\374\npassword=b\\377\\376=x\\r\n' || :`,
    )
    const { name, type } = git({ helper: path })
    const key = await keys.requestKey(name, 'https://example.com', '')
    const secret = Buffer.from('b\xff\xfe=x', 'latin1')
    assert.deepEqual(key.payload(), secret)
    const bytes = temporary('adapter-bytes')
    const kept = git({
      helper: `!f() { if [ "$1" = get ]; then printf 'username=m\\374\npassword=b\\377\\376=x\n'; else cat > ${bytes}; fi; }; f`,
    })
    await kept.type.approve(await keys.requestKey(kept.name, 'https://example.com', ''))
    assert.equal(
      readFileSync(bytes, 'latin1'),
      'protocol=https\nhost=example.com\nusername=m\xfc\npassword=b\xff\xfe=x\n\n',
    )
    assert.equal(calls(log()), 1)
    assert.ok(type.username(key))
  })

  test('a failure names the helper, and nothing else of its line', async () => {
    const absent = helperScript('exit 7').path
    for (const [helper, named] of [
      ['no-such-helper --token hush', 'git credential-no-such-helper exited with 1'],
      [`${absent} --token hush`, `${absent} exited with 7`],
      ['!echo password=hush >&2; exit 3;', "the helper's line of shell exited with 3"],
    ] as const) {
      const { name } = git({ helper })
      await assert.rejects(keys.requestKey(name, 'https://example.com', ''), (error: Error) => {
        assert.ok(error.message.endsWith(`: ${named}`), error.message)
        return says('ENOKEY')(error)
      })
    }
  })

  test('a program that is not there: ENOENT for the first, ENOKEY afterwards', async () => {
    const { name } = git({ helper: ['/nonexistent/helper'] })
    await assert.rejects(keys.requestKey(name, 'https://example.com', ''), says('ENOENT'))
    await assert.rejects(keys.requestKey(name, 'https://example.com', ''), says('ENOKEY'))
  })

  test('a helper that hangs is killed after helperTimeout', async () => {
    const { name } = git({ helper: ['/bin/sh', '-c', 'exec sleep 600'], helperTimeout: 1 })
    await assert.rejects(keys.requestKey(name, 'https://example.com', ''), /took more than 1 s/)
  })

  test('git itself and this room ask the same helper and get the same', { skip: !hasGit() }, async () => {
    const { path } = helperScript(GOOD)
    const filled = execFileSync(
      'git',
      ['-c', 'credential.helper=', '-c', `credential.helper=${path}`, 'credential', 'fill'],
      {
        input: 'url=https://example.com/x\n\n',
        encoding: 'utf8',
        env: { ...process.env, GIT_TERMINAL_PROMPT: '0' },
      },
    )
    const { name, type } = git({ helper: path })
    const key = await keys.requestKey(name, 'https://example.com/x', '')
    assert.ok(filled.includes(`password=${key.payload()}\n`), filled)
    assert.ok(filled.includes(`username=${type.username(key)}\n`))
  })

  test("git as the helper: 'git credential fill', and git-credential-store by its name", {
    skip: !hasGit(),
  }, async () => {
    const { path } = helperScript(GOOD)
    const fill = `exec git -c credential.helper= -c credential.helper=${path} credential fill`
    const { name } = git({ helper: ['/bin/sh', '-c', fill] })
    assert.equal((await keys.requestKey(name, 'https://example.com', '')).payload().toString(), SECRET)
    const file = write('git-credentials', 'https://me:stored@example.org\n', 0o600)
    const store = git({ helper: `store --file ${file}` })
    const key = await keys.requestKey(store.name, 'https://example.org', '')
    assert.equal(key.payload().toString(), 'stored')
    assert.equal(store.type.username(key), 'me')
    await store.type.reject(key)
    assert.equal(readFileSync(file, 'utf8').trim(), '')
    await store.type.approve(key)
    assert.equal(readFileSync(file, 'utf8').trim(), 'https://me:stored@example.org')
  })

  test('without a helper, those that git is configured with are asked and told', {
    skip: !hasGit(),
  }, async () => {
    const { path, log } = helperScript(GOOD)
    const config = write('git-config', `[credential]\n\thelper = ${path}\n`)
    const env = { ...process.env, GIT_CONFIG_GLOBAL: config, GIT_CONFIG_NOSYSTEM: '1' }
    const { name, type } = git({ env })
    const key = await keys.requestKey(name, 'https://example.com', '')
    assert.equal(key.payload().toString(), SECRET)
    assert.equal(type.username(key), 'me')
    await type.approve(key)
    await type.reject(key)
    assert.deepEqual(log().match(/^(get|store|erase)$/gm), ['get', 'store', 'erase'])
    const empty = git({ env: { ...env, GIT_CONFIG_GLOBAL: write('git-config-none', '') } })
    await assert.rejects(
      keys.requestKey(empty.name, 'https://example.com', ''),
      /ENOKEY: .*: git credential exited with 128$/,
    )
  })
})

function hasGit(): boolean {
  try {
    execFileSync('git', ['--version'])
    return true
  } catch {
    return false
  }
}

describe('docker credential helpers', () => {
  const docker = (body: string) => {
    const script = helperScript(body)
    const name = unique('docker')
    const type = dockerCredentialType({ name, helper: script.path })
    keys.registerKeyType(type)
    return { ...script, name, type }
  }
  const ANSWER = `[ "$action" = get ] && printf '{"ServerURL":"%s","Username":"me","Secret":"s3cret"}' "$input"`

  test('get: the URL on standard input, the secret from JSON; store and erase', async () => {
    const { name, type, log } = docker(`${ANSWER} || :`)
    const server = 'https://index.docker.io/v1/'
    const key = await keys.requestKey(name, server, '')
    assert.equal(key.payload().toString(), 's3cret')
    assert.equal(type.username(key), 'me')
    await type.approve(key)
    await type.reject(key)
    assert.equal(
      log(),
      `get\n${server}\n--\nstore\n{"ServerURL":"${server}","Username":"me","Secret":"s3cret"}\n--\nerase\n${server}\n--\n`,
    )
  })

  test('credentials not found: ENOKEY; no JSON, or another: ENOKEY, and nothing of it in the error', async () => {
    for (const body of [
      'echo credentials not found in native keychain; exit 1',
      'echo hush{',
      'echo "[]"',
      `echo '{"Username":"x"}'`,
      `echo '{"Secret":5}'`,
      'echo null',
    ]) {
      const { name } = docker(body)
      await assert.rejects(keys.requestKey(name, 'registry.example', ''), (error: Error) => {
        assert.ok(!error.message.includes('hush'))
        return says('ENOKEY')(error)
      })
    }
  })

  test('names and options that cannot be', async () => {
    assert.throws(() => dockerCredentialType({ helper: 'a b' }), TypeError)
    assert.throws(() => dockerCredentialType({ helper: '' }), TypeError)
    assert.throws(() => dockerCredentialType({ helper: 5 as never }), TypeError)
    assert.throws(() => dockerCredentialType({ helper: 'x', timeToLive: -1 }), RangeError)
    assert.throws(() => gitCredentialType({ helper: [] }), TypeError)
    assert.throws(() => gitCredentialType({ helper: 5 as never }), TypeError)
    assert.throws(() => gitCredentialType({ helper: '' }), TypeError)
    // A name is looked for in PATH; a path is not one of the folder that the service is in.
    const relative = { code: 'ERR_INVALID_ARG_VALUE', message: /absolute path/ }
    for (const helper of ['./helper', 'bin/helper', '../helper']) {
      assert.throws(() => dockerCredentialType({ helper }), relative)
      assert.throws(() => gitCredentialType({ helper: `${helper} --option` }), relative)
      assert.throws(() => gitCredentialType({ helper: [helper, '/etc'] }), relative)
      assert.throws(() => programType({ name: 'x', command: [helper, '/etc'] }), relative)
    }
    programType({ name: 'x', command: ['pass', 'show'] })
    gitCredentialType({ helper: 'store --file=/srv/credentials' })
    gitCredentialType({ helper: '!./helper' })
    assert.throws(() => programType({ name: 'x', command: 'string' as never }), TypeError)
    assert.throws(() => programType(undefined as never), TypeError)
    const { name } = docker(ANSWER)
    await assert.rejects(keys.requestKey(name, 'line\nfeed', ''), says('EINVAL'))
    for (const server of ['https://a:hush@c', 'https://a:hu/sh@c', 'a:hush@registry.example']) {
      await assert.rejects(keys.requestKey(name, server), (error: Error) => {
        assert.ok(!error.message.includes('hu'), error.message)
        return says('EINVAL')(error)
      })
    }
  })

  test('options that cannot be are told at once, by their names', () => {
    for (const [option, value, type] of [
      ['timeToLive', 0, RangeError],
      ['timeToLive', Number.NaN, RangeError],
      ['timeToLive', '30', TypeError],
      ['negativeTimeout', -1, RangeError],
      ['helperTimeout', 0, RangeError],
      ['helperTimeout', 4_294_967_295, RangeError],
      ['env', 'x', TypeError],
      ['env', { A: 5 }, TypeError],
    ] as const) {
      assert.throws(
        () => programType({ name: 'x', command: ['/bin/true'], [option]: value }),
        (error: Error) => {
          assert.ok(error instanceof type && error.message.includes(`"options.${option}`), error.message)
          return true
        },
      )
    }
  })
})

describe('any program', () => {
  test('what it prints is the secret, without the last line feed; the description is its argument', async () => {
    const name = unique('program')
    keys.registerKeyType(programType({ name, command: ['/bin/echo', 'secret of'], timeToLive: 9 }))
    const key = await keys.requestKey(name, 'this thing', '')
    assert.equal(key.payload().toString(), 'secret of this thing')
    assert.equal(key.timeout, 9)
    await assert.rejects(keys.requestKey(name, '--option', ''), says('EINVAL'))
  })

  test('a function makes the command, parse finds the secret and its time; callout info is standard input', async () => {
    const name = unique('program')
    keys.registerKeyType(
      programType({
        name,
        command: description => ['/bin/sh', '-c', `cat; printf ' %s' "$1"`, 'sh', description],
        parse: stdout => {
          const [secret = '', description] = stdout.toString().split(' ')
          assert.equal(description, 'd')
          return { secret, timeToLive: 3 }
        },
      }),
    )
    const key = await keys.requestKey(name, 'd', 'callout')
    assert.equal(key.payload().toString(), 'callout')
    assert.equal(key.timeout, 3)
  })

  test('the time that is left is rounded down; with none left there is no secret', async () => {
    let left: unknown
    const name = unique('program')
    keys.registerKeyType(
      programType({
        name,
        command: ['/bin/echo'],
        parse: () => ({ secret: 'x', timeToLive: left as number }),
        timeToLive: 7,
      }),
    )
    for (const [given, timeout] of [
      [59.5, 59],
      [1, 1],
      [1e12, 2 ** 32 - 1],
      [undefined, 7],
    ] as const) {
      left = given
      assert.equal((await keys.requestKey(name, unique('left '), '')).timeout, timeout)
    }
    for (left of [0, 0.9, -5]) {
      await assert.rejects(keys.requestKey(name, unique('left '), ''), /ENOKEY: .* has no time left/)
    }
    for (left of [Number.NaN, Number.POSITIVE_INFINITY, '30']) {
      await assert.rejects(keys.requestKey(name, unique('left '), ''), /"options.parse's timeToLive"/)
    }
  })

  test('nothing printed, nothing parsed, a failure: ENOKEY; a parser that throws: EINVAL without what it quoted', async () => {
    const types = [
      programType({ name: unique('program'), command: ['/bin/true'] }),
      programType({ name: unique('program'), command: ['/bin/false'] }),
      programType({ name: unique('program'), command: ['/bin/echo'], parse: () => undefined }),
    ]
    for (const type of types) {
      keys.registerKeyType(type)
      await assert.rejects(keys.requestKey(type.name, 'x', ''), says('ENOKEY'))
    }
    const broken = programType({
      name: unique('program'),
      command: ['/bin/echo', 'hush'],
      parse: stdout => JSON.parse(stdout.toString()),
    })
    keys.registerKeyType(broken)
    await assert.rejects(keys.requestKey(broken.name, 'x', ''), (error: Error) => {
      assert.ok(!inspect(error, { depth: 9 }).includes('hush'))
      return says('EINVAL')(error)
    })
  })

  test('no secret is in the arguments or the environment of a helper, nor in /proc', async () => {
    const seen = temporary('adapter-seen')
    const { path } = helperScript(
      `[ "$action" = get ] && echo password=hush-hush\ncat /proc/$$/cmdline /proc/$$/environ >> ${seen}`,
    )
    const { name, type } = git({ helper: path })
    const key = await keys.requestKey(name, 'https://example.com', '')
    await type.approve(key)
    assert.ok(existsSync(seen))
    assert.ok(!readFileSync(seen, 'utf8').includes('hush'))
    assert.ok(!kernel.proc.read('/proc/keys').includes('hush'))
  })
})
