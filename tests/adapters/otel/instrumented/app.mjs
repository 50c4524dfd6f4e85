import * as http from 'node:http';
import * as seaworthy from 'seaworthy';
import { resilientFetch } from 'seaworthy/fetch';
import { request } from 'undici';
import run from './flow.cjs';

run({ http, request, seaworthy, resilientFetch, report: globalThis.report });
