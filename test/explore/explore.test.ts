import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { exploreBy } from '../../src/explore/explore.js'
import { ExploreError, type ExploreOptions, explore, type Scenario } from '../../src/explore/index.js'
import { BoundedStrategy } from '../../src/explore/strategies/bounded.js'
import { PartialOrderStrategy } from '../../src/explore/strategies/partial-order.js'
import type { Strategy } from '../../src/explore/strategies/strategy.js'
import { write } from '../helpers/temporary.js'

async function failureOf(scenario: () => Scenario, options: ExploreOptions = {}): Promise<ExploreError> {
  const error = await explore(scenario, options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ExploreError, String(error))
  return error
}

const lostUpdate = (): Scenario => {
  const words = new Int32Array(new SharedArrayBuffer(4))
  const increment = () => {
    const value = Atomics.load(words, 0)
    Atomics.store(words, 0, value + 1)
  }
  return {
    threads: [increment, increment],
    check() {
      if (words[0] !== 2) throw new Error('lost')
    },
  }
}

describe('what is found', () => {
  test('an update that is lost, in its shortest form, and again by its schedule', async () => {
    const error = await failureOf(lostUpdate)
    assert.equal(error.kind, 'assertion')
    assert.equal(error.preemptions, 1)
    assert.equal((error.cause as Error).message, 'lost')
    assert.match(error.table, /thread 0 +│ thread 1/)
    const replayed = await failureOf(lostUpdate, { replay: error.schedule })
    assert.equal(replayed.schedule, error.schedule)
    assert.equal(replayed.schedules, 1)
    assert.equal((await explore(lostUpdate, { replay: 'a2b2' })).schedules, 1, 'another schedule is well')
  })

  test('an exception in a thread, with where it stands', async () => {
    const error = await failureOf(() => ({
      threads: [
        () => {
          throw new TypeError('no')
        },
      ],
    }))
    assert.equal(error.kind, 'assertion')
    assert.match(error.message, /thread 0 has thrown: no/)
  })

  test('a rejection of an async thread', async () => {
    const error = await failureOf(() => ({
      threads: [
        async () => {
          await null
          throw new Error('later')
        },
      ],
    }))
    assert.match(error.message, /thread 0 has thrown: later/)
  })

  test('a deadlock: two locks in two orders', async () => {
    const error = await failureOf(() => {
      const words = new Int32Array(new SharedArrayBuffer(8))
      const lock = (at: number) => {
        while (Atomics.compareExchange(words, at, 0, 1) !== 0) Atomics.wait(words, at, 1)
      }
      const unlock = (at: number) => {
        Atomics.store(words, at, 0)
        Atomics.notify(words, at)
      }
      const both = (first: number, second: number) => () => {
        lock(first)
        lock(second)
        unlock(second)
        unlock(first)
      }
      return { threads: [both(0, 1), both(1, 0)] }
    })
    assert.equal(error.kind, 'deadlock')
    assert.match(
      error.message,
      /thread 0 sleeps in wait on word 1 at scenario\.js:\d+; thread 1 sleeps in wait on word 0/,
    )
  })

  test('a wake-up that comes too early is told from another deadlock', async () => {
    const error = await failureOf(() => {
      const words = new Int32Array(new SharedArrayBuffer(8))
      return {
        threads: [
          () => {
            Atomics.store(words, 0, 1)
            Atomics.notify(words, 1)
          },
          () => {
            if (Atomics.load(words, 0) === 0) Atomics.wait(words, 1, 0)
          },
        ],
      }
    })
    assert.equal(error.kind, 'lost wake-up')
  })

  test('a livelock: a loop that looks for what nobody will write', async () => {
    const error = await failureOf(() => {
      const words = new Int32Array(new SharedArrayBuffer(4))
      return {
        threads: [
          () => {
            while (Atomics.load(words, 0) === 0);
          },
        ],
      }
    })
    assert.equal(error.kind, 'livelock')
  })

  test('a livelock without a step of its own: microtasks without end, a callback that cannot switch', async () => {
    const microtasks = await failureOf(() => ({
      threads: [
        () => {
          const again = () => queueMicrotask(again)
          again()
        },
      ],
    }))
    assert.equal(microtasks.kind, 'livelock')
    const sorting = await failureOf(
      () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        return {
          threads: [
            () =>
              void [2, 1].sort(() => {
                while (Atomics.load(words, 0) === 0);
                return 0
              }),
          ],
        }
      },
      { preemptions: 1 },
    )
    assert.equal(sorting.kind, 'livelock')
  })

  test('a livelock: two threads that undo each other', async () => {
    const error = await failureOf(
      () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        const until = (value: number) => () => {
          do Atomics.store(words, 0, value)
          while (Atomics.load(words, 0) !== 3)
        }
        return { threads: [until(1), until(2)] }
      },
      { steps: 300 },
    )
    assert.equal(error.kind, 'livelock')
  })

  test('no livelock: two that write while they wait for a third', async () => {
    const { complete } = await explore(
      () => {
        const words = new Int32Array(new SharedArrayBuffer(8))
        const wait = () => {
          while (Atomics.load(words, 0) === 0) Atomics.add(words, 1, 1)
        }
        return { threads: [wait, wait, () => Atomics.store(words, 0, 1)] }
      },
      { preemptions: 1 },
    )
    assert.equal(complete, true)
  })

  test('data races: plain with plain, plain with atomic, in every way to touch an element', async () => {
    for (const scenario of [
      () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        return { threads: [() => (words[0] = 1), () => words[0]] }
      },
      () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        return { threads: [() => void Atomics.store(words, 0, 1), () => words[0]] }
      },
      () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        const change = () => {
          words[0] ??= 1
          words[0] = 2
        }
        return { threads: [change, change] }
      },
      () => {
        const words = new Int32Array(new SharedArrayBuffer(16))
        return { threads: [() => void words.fill(1, 1, 3), () => words[2]] }
      },
      () => {
        const buffer = new SharedArrayBuffer(8)
        const first = new Int32Array(buffer)
        const second = new Int32Array(buffer, 4)
        return { threads: [() => (first[1] = 1), () => second[0]] }
      },
    ] satisfies (() => Scenario)[]) {
      assert.equal((await failureOf(scenario)).kind, 'data race')
      await explore(scenario, { races: false })
    }
  })

  test('what an atomic operation orders is no race: a flag, a lock, a wake-up, a notify', async () => {
    await explore(() => {
      const words = new Int32Array(new SharedArrayBuffer(12))
      return {
        threads: [
          () => {
            words[1] = 1
            Atomics.store(words, 0, 1)
            Atomics.notify(words, 0)
          },
          () => {
            Atomics.wait(words, 0, 0)
            if (Atomics.load(words, 0) === 1 && words[1] !== 1) throw new Error('not seen')
          },
          () => {
            if (Atomics.compareExchange(words, 0, 1, 1) === 1 && words[1] !== 1) throw new Error('not seen')
          },
        ],
      }
    })
  })
})

describe('what is not left out', () => {
  test('the rounds of a loop that counts in shared memory, of which each is another', async () => {
    const error = await failureOf(() => {
      const words = new Int32Array(new SharedArrayBuffer(4))
      return {
        threads: [
          () => {
            for (let round = 0; round < 10; round += 1) Atomics.add(words, 0, 1)
          },
          () => {
            if (Atomics.load(words, 0) === 10) throw new Error('ten')
          },
        ],
      }
    })
    assert.equal(error.kind, 'assertion')
  })

  test('a write between two looks from one place that are no loop', async () => {
    const error = await failureOf(() => {
      const words = new Int32Array(new SharedArrayBuffer(8))
      const look = () => Atomics.load(words, 0)
      return {
        threads: [
          () => {
            look()
            look()
            const before = look()
            Atomics.load(words, 1)
            if (before === 0 && look() === 1) throw new Error('changed')
          },
          () => void Atomics.store(words, 0, 1),
        ],
      }
    })
    assert.equal(error.kind, 'assertion')
  })

  const halves = (): Scenario => {
    const buffer = new SharedArrayBuffer(8)
    const whole = new BigInt64Array(buffer)
    const half = new Int32Array(buffer)
    return {
      threads: [
        () => void Atomics.store(whole, 0, Atomics.load(whole, 0) + 1n),
        () => void Atomics.add(half, 1, 1),
      ],
      check() {
        if (half[1] !== 1) throw new Error('lost')
      },
    }
  }

  test('elements of different sizes in the same bytes: a data race, and their orders', async () => {
    assert.match((await failureOf(halves)).message, /data race.*elements of different sizes/)
    assert.equal((await failureOf(halves, { races: false })).kind, 'assertion')
    assert.equal((await failureOf(halves, { races: false, preemptions: 1 })).kind, 'assertion')
    const plain = await failureOf(() => {
      const buffer = new SharedArrayBuffer(4)
      const word = new Int32Array(buffer)
      const bytes = new Uint8Array(buffer)
      return {
        threads: [
          () => {
            word[0] = 1
          },
          () => {
            bytes[3] = 1
          },
        ],
      }
    })
    assert.equal(plain.kind, 'data race')
  })

  test('what an asynchronous check finds; a rejection that nobody hears of', async () => {
    const awaits = await failureOf(() => ({
      threads: [() => {}],
      async check() {
        await Promise.resolve()
        throw new Error('found')
      },
    }))
    assert.match(awaits.message, /the check has thrown: found/)
    const forgotten = await failureOf(() => ({
      threads: [
        () => {
          void Promise.resolve().then(() => {
            throw new Error('unheard')
          })
        },
      ],
    }))
    assert.match(forgotten.message, /a promise that nobody awaits has thrown: unheard/)
    await explore(async () => ({
      threads: [
        async () => {
          const late = Promise.reject(new Error('heard'))
          await null
          await late.catch(() => {})
        },
      ],
    }))
  })

  test('without a switch in a place not all is seen, and complete says so', async () => {
    const report = await explore(
      () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        function* steps() {
          Atomics.store(words, 0, Atomics.load(words, 0) + 1)
          yield 1
        }
        const run = () => {
          Atomics.load(words, 0)
          for (const step of steps()) void step
        }
        return { threads: [run, run] }
      },
      { preemptions: 5 },
    )
    assert.equal(report.complete, false)
  })
})

describe('loops that wait', () => {
  for (const threads of [2, 3]) {
    test(`a lock of one word, ${threads} threads: all schedules, and no livelock`, async () => {
      const report = await explore(
        new URL(
          `file://${write(
            `spin-${threads}.mjs`,
            `export default () => {
               const words = new Int32Array(new SharedArrayBuffer(8))
               const run = () => {
                 while (Atomics.compareExchange(words, 0, 0, 1) !== 0);
                 words[1] += 1
                 Atomics.store(words, 0, 0)
               }
               return {
                 threads: [${new Array(threads).fill('run')}],
                 check() { if (words[1] !== ${threads}) throw new Error('both inside') },
               }
             }`,
          )}`,
        ),
      )
      assert.equal(report.complete, true)
    })
  }

  test('two that look in turns do not keep a third from its step', async () => {
    const report = await explore(
      () => {
        const words = new Int32Array(new SharedArrayBuffer(8))
        const waits = () => {
          while (Atomics.load(words, 0) === 0) {
            Atomics.add(words, 1, 1)
            Atomics.sub(words, 1, 1)
          }
        }
        return { threads: [() => void Atomics.store(words, 0, 1), waits, waits] }
      },
      { preemptions: 2 },
    )
    assert.equal(report.complete, true)
  })

  test('a loop of plain accesses has an end, too: it is told', async () => {
    const error = await failureOf(() => {
      const words = new Int32Array(new SharedArrayBuffer(4))
      return {
        threads: [
          () => {
            while (words[0] === 0);
          },
        ],
      }
    })
    assert.equal(error.kind, 'livelock')
  })

  for (const [clock, source] of [
    ['performance.now', 'performance.now()'],
    ['Date.now', 'Date.now()'],
    ['new Date', '+new Date()'],
  ] as const) {
    test(`until a time is over by ${clock}, asleep or awake`, async () => {
      const scenario = (wait: string) => `export default () => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        const waits = () => {
          const end = ${source} + 1000
          for (let left = 1000; Atomics.load(words, 0) === 0; left = end - ${source}) {
            if (left <= 0) return
            ${wait}
          }
        }
        const wakes = () => { Atomics.store(words, 0, 1); Atomics.notify(words, 0) }
        return { threads: [waits, wakes] }
      }`
      for (const [kind, wait] of [
        ['asleep', 'Atomics.wait(words, 0, 0, left)'],
        ['awake', ''],
      ] as const) {
        const file = write(`${clock}-${kind}.mjs`, scenario(wait))
        assert.equal((await explore(new URL(`file://${file}`))).complete, true, kind)
      }
    })
  }

  test('a clock is never behind that of whoever wrote what was read', async () => {
    await explore(() => {
      const words = new Int32Array(new SharedArrayBuffer(8))
      return {
        threads: [
          () => {
            Atomics.wait(words, 1, 0, 50)
            Atomics.store(words, 0, 1)
          },
          () => {
            const start = performance.now()
            if (Atomics.load(words, 0) === 1 && performance.now() - start < 50) throw new Error('no time')
          },
        ],
      }
    })
  })
})

describe('how it is run', () => {
  test('async code: promises, timers, immediates and waitAsync are the scheduler’s', async () => {
    const report = await explore(() => {
      const words = new Int32Array(new SharedArrayBuffer(4))
      const order: string[] = []
      return {
        threads: [
          async () => {
            setTimeout(() => order.push('timer'), 5)
            setImmediate(() => order.push('immediate'))
            queueMicrotask(() => order.push('microtask'))
            order.push('sync')
            await Promise.resolve()
            order.push('awaited')
            const { async, value } = Atomics.waitAsync(words, 0, 0)
            if (async) await value
            order.push('woken')
          },
          () => {
            Atomics.store(words, 0, 1)
            Atomics.notify(words, 0)
          },
        ],
        check() {
          if (order.slice(0, 3).join() !== 'sync,microtask,awaited') throw new Error(order.join())
          if (!order.includes('woken') || !order.includes('immediate')) throw new Error(order.join())
        },
      }
    })
    assert.ok(report.complete)
  })

  test('a switch comes between two operations in a callback, whoever calls it', async () => {
    // A thread that adds to a word in two operations, within a callback; another one that does the same.
    const scenarios: readonly ((add: string) => string)[] = [
      add => `[0].forEach(() => { ${add} })`,
      add => `[0].map(() => { ${add} })`,
      add => `[0].filter(() => { ${add} })`,
      add => `[0].some(() => { ${add} })`,
      add => `[0].every(() => { ${add} })`,
      add => `[0].find(() => { ${add} })`,
      add => `[0].findIndex(() => { ${add} })`,
      add => `[0].flatMap(() => { ${add} })`,
      add => `[0].reduce(() => { ${add} }, 0)`,
      add => `new Int32Array(1).forEach(() => { ${add} })`,
      add => `new Map([[0, 0]]).forEach(() => { ${add} })`,
      add => `new Set([0]).forEach(() => { ${add} })`,
      add => `new Promise(() => { ${add} })`,
      add => `Promise.resolve().then(() => { ${add} })`,
      add => `Promise.reject(0).catch(() => { ${add} })`,
      add => `Promise.resolve().finally(() => { ${add} })`,
      add => `setTimeout(() => { ${add} }, 1)`,
      add => `setImmediate(() => { ${add} })`,
      add => `queueMicrotask(() => { ${add} })`,
      add =>
        `const one = new AbortController(); one.signal.addEventListener('abort', () => { ${add} }); one.abort()`,
    ]
    for (const scenario of scenarios) {
      const source = scenario('Atomics.store(words, 0, Atomics.load(words, 0) + 1)')
      const made = new Function(
        `return () => {
           const words = new Int32Array(new SharedArrayBuffer(4))
           const thread = () => { ${source} }
           return { threads: [thread, thread], check() { if (words[0] !== 2) throw new Error('lost') } }
         }`,
      )() as () => Scenario
      const error = await failureOf(made)
      assert.equal((error.cause as Error).message, 'lost', source)
    }
  })

  test('methods that take callbacks give what they give in Node', async () => {
    await explore(() => {
      const list: number[] = [3]
      // With a hole in it.
      list[2] = 5
      list.push(undefined as never, 7)
      const odd = (value: number) => value > 3
      const results = () =>
        JSON.stringify([
          list.map(value => value * 2),
          list.filter(odd),
          list.some(odd),
          list.every(odd),
          list.find(odd),
          list.findIndex(value => value !== 3),
          list.flatMap(value => [value, [value]]),
          list.reduce((sum, value) => sum + (value ?? 0)),
          list.reduce((sum, value) => sum + (value ?? 0), 10),
        ])
      return {
        threads: [
          () => {
            const found = results()
            const expected =
              '[[6,null,10,null,14],[5,7],true,false,5,1,[3,[3],5,[5],null,[null],7,[7]],15,25]'
            if (found !== expected) throw new Error(found)
            try {
              ;([] as number[]).reduce((sum, value) => sum + value)
            } catch (error) {
              if (!(error instanceof TypeError)) throw error
              return
            }
            throw new Error('nothing to begin with')
          },
        ],
      }
    })
  })

  test('an abort: its listeners are told once, in their order, and those that have left are not', async () => {
    await explore(() => {
      const controller = new AbortController()
      const { signal } = controller
      const heard: string[] = []
      return {
        threads: [
          async () => {
            const gone = () => heard.push('gone')
            signal.onabort = () => heard.push('onabort')
            signal.addEventListener('abort', () => heard.push('first'), { once: true })
            signal.addEventListener('abort', gone)
            signal.addEventListener('abort', { handleEvent: () => heard.push('object') })
            signal.removeEventListener('abort', gone)
            controller.abort(new Error('enough'))
            controller.abort()
            if (!signal.aborted) throw new Error('not aborted')
            if (heard.join() !== 'onabort,first,object') throw new Error(heard.join())
            await Promise.resolve()
              .then(() => signal.throwIfAborted())
              .catch(error => heard.push(error.message))
            if (heard.at(-1) !== 'enough') throw new Error(heard.join())
            if (!AbortSignal.abort().aborted) throw new Error('not aborted')
          },
        ],
      }
    })
  })

  test('what Atomics refuse is thrown where it is called', async () => {
    const report = await explore(() => {
      const words = new Int32Array(new SharedArrayBuffer(4))
      const refused = (act: () => unknown) => {
        try {
          act()
        } catch (error) {
          return (error as Error).name
        }
        return undefined
      }
      const bad = () => {
        const names = [
          refused(() => Atomics.load(words, 9)),
          refused(() => Atomics.wait(new Int32Array(1), 0, 0, 1)),
          refused(() => Atomics.wait(new Uint32Array(words.buffer) as never, 0, 0)),
          refused(() => Atomics.notify(new Uint8Array(words.buffer) as never, 0)),
          refused(() => Atomics.add([] as never, 0, 1)),
        ]
        const wanted = ['RangeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError']
        if (String(names) !== String(wanted)) throw new Error(String(names))
      }
      return { threads: [bad] }
    })
    assert.equal(report.schedules, 1)
  })

  test('what was cleared does not come', async () => {
    await explore(() => {
      const heard: string[] = []
      return {
        threads: [
          () => {
            clearTimeout(setTimeout(() => heard.push('timeout'), 1))
            clearImmediate(setImmediate(() => heard.push('immediate')))
            setTimeout((what: string) => heard.push(what), 1, 'argument')
          },
        ],
        check() {
          if (heard.join() !== 'argument') throw new Error(heard.join())
        },
      }
    })
  })

  test('a wait with a time ends with and without the wake-up', async () => {
    const seen = new Set<string>()
    ;(globalThis as { outcomes?: Set<string> }).outcomes = seen
    await explore(() => {
      const words = new Int32Array(new SharedArrayBuffer(4))
      return {
        threads: [
          () => {
            Atomics.store(words, 0, 1)
            Atomics.notify(words, 0)
          },
          () => {
            const { outcomes } = globalThis as unknown as { outcomes: Set<string> }
            outcomes.add(Atomics.wait(words, 0, 0, 10))
          },
        ],
      }
    })
    assert.deepEqual([...seen].sort(), ['not-equal', 'ok', 'timed-out'])
  })

  test('getters, private methods, closures, destructuring, spread, optional calls, generators, exceptions', async () => {
    await explore(() => {
      class Counter {
        readonly #words: Int32Array
        constructor(words: Int32Array) {
          this.#words = words
        }
        get value() {
          return Atomics.load(this.#words, 0)
        }
        #add(by: number) {
          return Atomics.add(this.#words, 0, by)
        }
        add(...amounts: number[]) {
          for (const by of amounts) this.#add(by)
          return this
        }
        *values() {
          yield* [1, 2]
        }
      }
      const counter = new Counter(new Int32Array(new SharedArrayBuffer(4)))
      const maybe: Counter | undefined = counter
      return {
        threads: [
          () => {
            const [first, ...rest] = [...counter.values()].map(value => value * 10)
            counter.add(first ?? 0, ...rest)
            try {
              if (counter.value < 30) throw new Error('less')
              throw new RangeError('caught')
            } catch (error) {
              if (!(error instanceof RangeError)) throw error
            } finally {
              maybe?.add(3)
            }
          },
          () => {
            const { value = 0 } = { value: counter.value }
            counter.add(value === 0 ? 1 : 1)
          },
        ],
        check() {
          if (counter.value !== 34) throw new Error(String(counter.value))
        },
      }
    })
  })

  test('the same seed gives the same schedules; both strategies by chance find what is easy to find', async () => {
    for (const strategy of ['random', 'pct'] as const) {
      const one = await failureOf(lostUpdate, { strategy, seed: 7, schedules: 500 })
      const two = await failureOf(lostUpdate, { strategy, seed: 7, schedules: 500 })
      assert.equal(one.schedules, two.schedules)
      assert.equal(one.schedule, two.schedule)
    }
    const bounded = await explore(lostUpdate, { preemptions: 0 })
    assert.equal(bounded.schedules, 2, 'one thread after the other, both ways')
  })

  test('a scenario can be a module, and imports what it needs', async () => {
    const helper = write('explore-helper.mjs', 'export const add = (words, by) => Atomics.add(words, 0, by)')
    const file = write(
      'explore-scenario.mjs',
      `import { add } from ${JSON.stringify(`./${helper.split('/').at(-1)}`)}
       export default () => {
         const words = new Int32Array(new SharedArrayBuffer(4))
         return { threads: [() => add(words, 1), () => add(words, 2)], check() { if (words[0] !== 3) throw new Error('lost') } }
       }`,
    )
    assert.equal((await explore(new URL(`file://${file}`))).schedules, 2)
  })
})

describe('where a scenario comes from', () => {
  const scenarios = {
    method() {
      return { threads: [() => {}] }
    },
    async asynchronous() {
      return { threads: [() => {}] }
    },
    ['computed']: () => ({ threads: [() => {}] }),
    function: function named() {
      return { threads: [() => {}] }
    },
  }
  for (const [kind, scenario] of Object.entries(scenarios)) {
    test(`${kind}`, async () => {
      assert.equal((await explore(scenario)).complete, true)
    })
  }

  test('a function without a source is refused', async () => {
    await assert.rejects(explore(lostUpdate.bind(undefined)), {
      code: 'ERR_KHELPER_UNSUPPORTED',
      message: /no source/,
    })
  })
})

describe('bad input', () => {
  test('scenarios, strategies and schedules that are none', async () => {
    await assert.rejects(explore('no' as never), { code: 'ERR_INVALID_ARG_TYPE' })
    await assert.rejects(explore((() => 7) as never), /a scenario gives/)
    await assert.rejects(explore(lostUpdate, { strategy: 'best' as never }), {
      code: 'ERR_INVALID_ARG_VALUE',
    })
    for (const options of [{ preemptions: Number.NaN }, { preemptions: -1 }, { depth: 0 }, { steps: 1.5 }]) {
      await assert.rejects(explore(lostUpdate, options), { code: 'ERR_OUT_OF_RANGE' })
    }
    await assert.rejects(explore(lostUpdate, { preemption: 1 } as never), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: 'options.preemption: there is no such option',
    })
    await assert.rejects(explore(lostUpdate, { replay: 'nonsense!' }), { code: 'ERR_INVALID_ARG_VALUE' })
    await assert.rejects(explore(lostUpdate, { replay: 'c9' }), /the schedule is another program's/)
    await assert.rejects(explore(lostUpdate, { modules: { gone: './no-such-module.js' } }), {
      code: 'ERR_MODULE_NOT_FOUND',
      message: `Cannot find ./no-such-module.js, imported by options.modules, from ${process.cwd()}`,
    })
    const importer = write('imports-nothing.mjs', "import 'no-such-package'")
    await assert.rejects(explore(pathToFileURL(importer)), {
      code: 'ERR_MODULE_NOT_FOUND',
      message: `Cannot find no-such-package, imported by ${importer}`,
    })
    const nonsense = write('nonsense.mjs', 'const = 1')
    await assert.rejects(explore(pathToFileURL(nonsense)), {
      name: 'SyntaxError',
      message: new RegExp(`${nonsense}: .*\\(1:6\\)`),
    })
  })

  test('code that cannot be explored says what and where', async () => {
    const unsupported = { name: 'UnsupportedCode', message: /scenario\.js:\d+/ }
    await assert.rejects(
      explore(() => ({
        threads: [
          async () => {
            for await (const each of []) void each
          },
        ],
      })),
      unsupported,
    )
    await assert.rejects(
      explore(() => ({ threads: [async () => void (await import('node:fs'))] })),
      unsupported,
    )
    await assert.rejects(
      explore(() => {
        const words = new Int32Array(new SharedArrayBuffer(4))
        return {
          threads: [
            () => void [2, 1].sort(() => Atomics.add(words, 0, 1)),
            () => void Atomics.load(words, 0),
          ],
        }
      }),
      { name: 'UnsupportedCode', message: /preemptions/ },
    )
  })
})

test('times that run out are told in every order in which they can', async () => {
  const seen = new Set<string>()
  ;(globalThis as { seen?: Set<string> }).seen = seen
  const scenario = () => {
    const words = new Int32Array(new SharedArrayBuffer(8))
    const out: string[] = []
    return {
      threads: [
        () => {
          Atomics.store(words, 0, 1)
          Atomics.wait(words, 1, 0, 10)
          Atomics.notify(words, 0)
        },
        () => {
          out.push(Atomics.wait(words, 0, 0, 10))
        },
      ],
      check() {
        ;(globalThis as unknown as { seen: Set<string> }).seen.add(out.join())
      },
    }
  }
  await explore(scenario, { timeouts: 0 })
  assert.deepEqual([...seen].sort(), ['not-equal', 'ok', 'timed-out'])
})

/** How many random programs. */
const RANDOM_PROGRAMS = 150

/** A random program of atomic operations on two words, on bytes of them and on both at once; what it has seen is its outcome. */
const operation = fc.oneof(
  fc.record({
    kind: fc.constantFrom('load', 'wait', 'waitAsync', 'notify', 'loadBoth', 'time'),
    word: fc.nat(1),
    value: fc.nat(1),
  }),
  fc.record({
    kind: fc.constantFrom('store', 'add', 'exchange', 'compareExchange', 'storeByte'),
    word: fc.nat(1),
    value: fc.integer({ min: 0, max: 2 }),
  }),
)

const CODE: Readonly<Record<string, (word: number, value: number) => string>> = {
  load: word => `out.push(Atomics.load(words, ${word}))`,
  store: (word, value) => `Atomics.store(words, ${word}, ${value})`,
  add: (word, value) => `out.push(Atomics.add(words, ${word}, ${value}))`,
  exchange: (word, value) => `out.push(Atomics.exchange(words, ${word}, ${value}))`,
  compareExchange: (word, value) => `out.push(Atomics.compareExchange(words, ${word}, ${value}, 5))`,
  storeByte: (word, value) => `Atomics.store(bytes, ${4 * word + 1}, ${value})`,
  loadBoth: () => 'out.push(String(Atomics.load(both, 0)))',
  time: () => 'out.push(performance.now())',
  wait: (word, value) => `out.push(Atomics.wait(words, ${word}, ${value}, 10))`,
  notify: word => `out.push(Atomics.notify(words, ${word}, 1))`,
  waitAsync: (word, value) => `awaits(Atomics.waitAsync(words, ${word}, ${value}, 10), ${word})`,
}

type Program = readonly ReturnType<typeof step>[]

const step = (kind: string, word: number, value: number) => ({ kind, word, value })

/** Programs that have shown something: the threads, and how many times may run out early. */
const FOUND: [Program[], number][] = [
  // The time of a wait that is awaited runs out before the notify, or behind it.
  [[[step('waitAsync', 0, 0)], [step('store', 0, 1), step('notify', 0, 0)]], 1],
  // Which of two waits comes to its end first, by its time or by a notify.
  [[[step('waitAsync', 1, 0), step('waitAsync', 0, 0)], [step('notify', 0, 0)]], 1],
  // A time runs out only behind what its thread does before.
  [
    [
      [step('waitAsync', 0, 0), step('store', 1, 0)],
      [step('store', 0, 1), step('store', 1, 1)],
      [step('add', 1, 0), step('notify', 0, 0)],
    ],
    1,
  ],
  // Whoever is to go first sleeps there: somebody else has to.
  [
    [
      [step('load', 1, 0)],
      [step('wait', 0, 0), step('store', 1, 1)],
      [step('notify', 0, 0), step('load', 0, 0)],
    ],
    0,
  ],
  // A thread goes on when its time has run out: what it does from there on is a start of its own.
  [
    [
      [step('store', 1, 1), step('store', 1, 0)],
      [step('wait', 1, 0), step('wait', 1, 0), step('store', 0, 0)],
      [step('store', 0, 1)],
    ],
    1,
  ],
]

test('of random programs the reductions see every outcome that there is, within a bound, too', async () => {
  const seen = new Set<string>()
  ;(globalThis as { seen?: Set<string> }).seen = seen
  const outcomes = async (
    scenario: () => Scenario,
    strategy: Strategy,
    timeouts: number,
  ): Promise<string[]> => {
    seen.clear()
    // Elements of different sizes race.
    const report = await exploreBy(strategy, scenario, { timeouts, races: false })
    assert.ok(report.complete)
    return [...seen].sort()
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(operation, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 3 }),
      fc.nat(1),
      async (programs, timeouts) => {
        const threads = programs
          .map(
            program =>
              `async (out, awaits) => { ${program.map(({ kind, word, value }) => CODE[kind]?.(word, value)).join(';')} }`,
          )
          .join(',')
        const scenario = new Function(
          `return () => {
             const words = new Int32Array(new SharedArrayBuffer(8))
             const bytes = new Uint8Array(words.buffer)
             const both = new BigInt64Array(words.buffer)
             const outs = []
             const threads = [${threads}].map(thread => {
               const out = []
               const later = []
               const awaits = ({ async, value }, word) =>
                 async ? later.push(value.then(outcome => out.push(word + ' later ' + outcome))) : out.push(value)
               outs.push(out)
               return async () => {
                 await thread(out, awaits)
                 await Promise.all(later)
               }
             })
             return { threads, check() { globalThis.seen.add(JSON.stringify([outs, words[0], words[1]])) } }
           }`,
        )() as () => Scenario
        const all = await outcomes(scenario, new BoundedStrategy(100, false), timeouts)
        assert.deepEqual(await outcomes(scenario, new PartialOrderStrategy(), timeouts), all)
        for (const bound of [0, 1, 2, 100]) {
          assert.deepEqual(
            await outcomes(scenario, new BoundedStrategy(bound), timeouts),
            await outcomes(scenario, new BoundedStrategy(bound, false), timeouts),
            `${bound} preemptions`,
          )
        }
      },
    ),
    { numRuns: RANDOM_PROGRAMS, examples: FOUND },
  )
})
