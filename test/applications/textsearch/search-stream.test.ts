/**
 * searchStream: what it reads, keeps and lets go of.
 */
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { after, describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  type ByteStream,
  type FsmToken,
  type StreamSearch,
  searchStream,
  TS_AUTOLOAD,
  TS_IGNORECASE,
  type TsConfig,
  TsFsmRecur,
  TsFsmType,
  textsearch,
  UINT_MAX,
} from '../../../src/applications/textsearch/index.js'
import { boot } from '../../../src/index.js'
import { write } from '../../helpers/temporary.js'

const kernel = boot()
after(() => kernel.shutdown())
const search = textsearch(kernel)

async function all(what: TsConfig | StreamSearch, readable: ByteStream): Promise<number[]> {
  const found: number[] = []
  for await (const offset of searchStream(what, readable)) found.push(offset)
  return found
}

const chunks = (...texts: string[]): Buffer[] => texts.map(text => Buffer.from(text, 'latin1'))
const specific = (text: string): FsmToken[] =>
  [...Buffer.from(text)].map(value => ({ type: TsFsmType.SPECIFIC, recur: TsFsmRecur.SINGLE, value }))
const junk: FsmToken = { type: TsFsmType.WILDCARD, recur: TsFsmRecur.HEAD_IGNORE }
const digits: FsmToken = { type: TsFsmType.DIGIT, recur: TsFsmRecur.MULTI }

describe('what is found', () => {
  for (const algorithm of ['kmp', 'bm'] as const) {
    test(`${algorithm}: matches within and across chunks, non-overlapping`, async () => {
      assert.deepEqual(
        await all({ algorithm, pattern: 'ab' }, chunks('xa', 'bx', 'abab', 'a', 'b')),
        [1, 4, 6, 8],
      )
      assert.deepEqual(await all({ algorithm, pattern: 'aa' }, chunks('aaa', 'aa')), [0, 2])
      assert.deepEqual(
        await all({ algorithm, pattern: 'abcdefgh' }, chunks(...'xxabcdefghabcdefgh')),
        [2, 10],
      )
      assert.deepEqual(await all({ algorithm, pattern: 'AB', ignoreCase: true }, chunks('xa', 'Bx')), [1])
    })
  }

  test('without an algorithm it is bm', async () => {
    assert.deepEqual(await all({ pattern: 'ab' }, chunks('xa', 'b')), [1])
  })

  test('fsm: what find and next give for the whole text', async () => {
    const ids = [junk, ...specific('id='), digits]
    assert.deepEqual(
      await all({ algorithm: 'fsm', pattern: ids }, chunks('id=1 i', 'd=', '22, id=x id=3')),
      [0, 5, 17],
    )
  })

  test('fsm: a last token SINGLE matches at the end of the stream only', async () => {
    const pattern = [junk, ...specific('end')]
    assert.deepEqual(await all({ algorithm: 'fsm', pattern }, chunks('the e', 'nd')), [4])
    assert.deepEqual(await all({ algorithm: 'fsm', pattern }, chunks('the e', 'nd.', ' the end')), [])
  })

  test('fsm: after an empty match it goes on one byte further', async () => {
    const pattern = [{ ...digits, recur: TsFsmRecur.ANY }]
    assert.deepEqual(await all({ algorithm: 'fsm', pattern }, chunks('a', 'b')), [0, 1])
  })

  test('a config is searched for as prepared, and may be destroyed meanwhile; find on it is undisturbed', async () => {
    const conf = await search.prepare('bm', 'ab', TS_AUTOLOAD | TS_IGNORECASE)
    const found = searchStream(conf, chunks('xA', 'Bx', 'ab'))
    assert.equal((await found.next()).value, 1)
    assert.equal(search.findContinuous(conf, { offset: 0 }, Buffer.from('..ab')), 2)
    search.destroy(conf)
    assert.equal((await found.next()).value, 4)
    assert.throws(() => searchStream(conf, []), { code: 'ERR_INVALID_ARG_VALUE' })
    for (const algo of ['kmp', 'fsm']) {
      const other = await search.prepare(algo, [1, 0, 0, 0], TS_AUTOLOAD)
      assert.deepEqual(
        await all(other, [Uint8Array.of(1, 0), Uint8Array.of(0, 0)]),
        algo === 'kmp' ? [0] : [],
      )
    }
  })

  test('nothing at all, and nothing but empty chunks', async () => {
    for (const algorithm of ['kmp', 'bm'] as const) {
      assert.deepEqual(await all({ algorithm, pattern: 'a' }, []), [])
      assert.deepEqual(await all({ algorithm, pattern: 'a' }, chunks('', '', 'a', '')), [0])
    }
    assert.deepEqual(await all({ algorithm: 'fsm', pattern: [{ ...digits, recur: 2 }] }, chunks('', '')), [])
  })

  test('offsets beyond 4 GB are right', async () => {
    const chunk = Buffer.alloc(2 ** 26)
    async function* zeros() {
      for (let count = 0; count < 65; count += 1) yield chunk
      yield Buffer.from('needle')
    }
    assert.deepEqual(await all({ pattern: 'needle' }, zeros()), [65 * 2 ** 26])
  })
})

describe('what is read', () => {
  test('a file, a web stream, an async generator, an array', async () => {
    const text = `${'hay'.repeat(50_000)}needle${'hay'.repeat(50_000)}needle`
    const path = write('haystack', text)
    const expected = [150_000, 300_006]
    assert.deepEqual(await all({ pattern: 'needle' }, createReadStream(path)), expected)
    assert.deepEqual(
      await all({ pattern: 'needle' }, createReadStream(path, { highWaterMark: 3 * 7 })),
      expected,
    )
    const bytes = Buffer.from(text)
    const web = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes.subarray(0, 150_003))
        controller.enqueue(bytes.subarray(150_003))
        controller.close()
      },
    })
    assert.deepEqual(await all({ pattern: 'needle' }, web), expected)
    assert.deepEqual(await all({ pattern: 'needle' }, [bytes]), expected)
  })

  test('no chunk is read before the matches of the one before it are taken', async () => {
    for (const algorithm of ['kmp', 'bm'] as const) {
      let read = 0
      async function* source() {
        for (const chunk of chunks('aa', 'xx', 'a')) {
          read += 1
          yield chunk
        }
      }
      const found = searchStream({ algorithm, pattern: 'a' }, source())
      assert.equal(read, 0)
      assert.deepEqual([(await found.next()).value, read], [0, 1])
      assert.deepEqual([(await found.next()).value, read], [1, 1])
      assert.deepEqual([(await found.next()).value, read], [4, 3])
    }
  })

  test('a source may use its buffer again for the next chunk', async () => {
    const text = 'xxneedlexneexdle needlexx needneedle'
    for (const algorithm of ['kmp', 'bm'] as const) {
      for (let size = 1; size < 12; size += 1) {
        async function* source() {
          const buffer = Buffer.alloc(size)
          for (let at = 0; at < text.length; at += size) {
            yield buffer.subarray(0, buffer.write(text.slice(at, at + size)))
            buffer.fill('!')
          }
        }
        assert.deepEqual(await all({ algorithm, pattern: 'needle' }, source()), [2, 17, 30], `${size}`)
      }
    }
  })

  test('memory: of a long stream only the chunk at hand is held', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const pattern = Buffer.concat([Buffer.alloc(1000), Buffer.from('needle')])
    for (const [algorithm, what] of [
      ['kmp', pattern],
      ['bm', pattern],
      ['fsm', [junk, ...specific('needle'), digits]],
    ] as const) {
      const made: WeakRef<Uint8Array>[] = []
      let most = 0
      async function* source() {
        for (let count = 0; count < 60; count += 1) {
          // References are kept until the job's end.
          await new Promise(setImmediate)
          collect()
          await new Promise(setImmediate)
          most = Math.max(most, made.filter(chunk => chunk.deref() !== undefined).length)
          const chunk = new Uint8Array(2 ** 16)
          made.push(new WeakRef(chunk))
          yield chunk
        }
      }
      assert.deepEqual(await all({ algorithm, pattern: what }, source()), [])
      assert.equal(made.length, 60)
      assert.ok(most <= 2, `${algorithm} holds ${most} chunks`)
    }
  })
})

describe('how it ends', () => {
  const endless = () =>
    new Readable({
      read() {
        this.push('needle in a haystack; ')
      },
    })

  test('leaving the loop destroys the stream', async () => {
    const readable = endless()
    for await (const _ of searchStream({ pattern: 'needle' }, readable)) break
    assert.ok(readable.destroyed)
  })

  test('a throw in the loop destroys the stream', async () => {
    const readable = endless()
    await assert.rejects(async () => {
      for await (const _ of searchStream({ pattern: 'needle' }, readable)) throw new Error('enough')
    }, /enough/)
    assert.ok(readable.destroyed)
  })

  test('what the stream fails with comes out, after the matches before it', async () => {
    const found: number[] = []
    async function* source() {
      yield* chunks('xneedle')
      throw new Error('the disk is gone')
    }
    await assert.rejects(async () => {
      for await (const offset of searchStream({ pattern: 'needle' }, source())) found.push(offset)
    }, /the disk is gone/)
    assert.deepEqual(found, [1])
  })

  test('a stream that is destroyed meanwhile: the iterator rejects', async () => {
    const readable = endless()
    await assert.rejects(
      async () => {
        for await (const _ of searchStream({ pattern: 'needle' }, readable)) readable.destroy()
      },
      { code: 'ERR_STREAM_PREMATURE_CLOSE' },
    )
  })

  test('fsm: when its rules say that nothing can match any more, an endless stream is let go', async () => {
    const readable = endless()
    assert.deepEqual(await all({ algorithm: 'fsm', pattern: specific('x') }, readable), [])
    assert.ok(readable.destroyed)
  })

  test('a search that nobody iterates reads nothing, and may be ended', async () => {
    const readable = endless()
    const found = searchStream({ pattern: 'needle' }, readable)
    await found.return()
    assert.equal(readable.readableFlowing, null)
    readable.destroy()
  })
})

describe('what is refused', () => {
  const pattern = 'needle'

  test('a wrong search: at once', () => {
    const type = { code: 'ERR_INVALID_ARG_TYPE' }
    for (const wrong of [undefined, null, 'needle', 1, {}]) {
      assert.throws(() => searchStream(wrong as unknown as StreamSearch, []), type)
    }
    assert.throws(() => searchStream({ pattern, ignoreCase: 1 } as unknown as StreamSearch, []), type)
    for (const algorithm of ['regex', 'constructor', 1]) {
      assert.throws(() => searchStream({ pattern, algorithm } as unknown as StreamSearch, []), {
        code: 'ERR_INVALID_ARG_VALUE',
      })
    }
    assert.throws(() => searchStream({ pattern: '' }, []), { code: 'EINVAL' })
    assert.throws(() => searchStream({ algorithm: 'fsm', pattern: 'abc' }, []), { code: 'EINVAL' })
    assert.throws(() => searchStream({ algorithm: 'fsm', pattern: [digits], ignoreCase: true }, []), {
      code: 'EINVAL',
    })
  })

  test('no stream: at once', () => {
    for (const wrong of [undefined, null, 'text', 1, {}, Buffer.from('text')]) {
      assert.throws(() => searchStream({ pattern }, wrong as unknown as ByteStream), {
        code: 'ERR_INVALID_ARG_TYPE',
      })
    }
  })

  test('a stream with an encoding, or of anything but bytes: the iterator rejects, and destroys it', async () => {
    const text = endlessText()
    await assert.rejects(all({ pattern }, text), { code: 'ERR_INVALID_ARG_TYPE' })
    assert.ok(text.destroyed)
    await assert.rejects(all({ pattern }, [1] as unknown as ByteStream), { code: 'ERR_INVALID_ARG_TYPE' })
  })

  test('an algorithm that cannot search streams: EOPNOTSUPP', async () => {
    const ops = {
      name: 'no-streams',
      init: () => 0,
      find: () => UINT_MAX,
      getPattern: () => new Uint8Array(1),
      getPatternLen: () => 1,
    }
    search.register(ops)
    const conf = await search.prepare('no-streams', 'x')
    assert.throws(() => searchStream(conf, []), { code: 'EOPNOTSUPP' })
    search.unregister(ops)
  })

  function endlessText(): Readable {
    const readable = new Readable({
      read() {
        this.push('text')
      },
    })
    return readable.setEncoding('utf8')
  }
})
